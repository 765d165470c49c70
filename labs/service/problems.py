"""Every error answer is a problem document (RFC 9457) that names the field at fault and never repeats the input."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from labs.errors import (
    DatabaseUnavailable,
    IdempotencyConflict,
    JobNotFound,
    ModelFailed,
    ModelRefused,
    ModelUnavailable,
)

log = structlog.get_logger()

#: Our errors and the status they mean to a caller.
_STATUS = {
    JobNotFound: 404,
    IdempotencyConflict: 422,
    DatabaseUnavailable: 503,
    ModelUnavailable: 503,
    ModelFailed: 502,
    ModelRefused: 502,
}
_RETRY_AFTER_S = "2"


def add_problem_handlers(app: FastAPI) -> None:
    """Answer all errors of an application with problem documents."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for error in _STATUS:
        app.add_exception_handler(error, _known)
    app.add_exception_handler(Exception, _unknown)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """A problem document."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    more: dict[str, Any] = {}
    if error.status_code == 413:
        more["errors"] = [{"field": "body", "message": "is too large"}]
    return problem(error.status_code, error.detail, headers=dict(error.headers or {}), **more)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(item["loc"]), "message": item["msg"]} for item in error.errors()]
    fields = ", ".join(sorted({item["field"] for item in errors}))
    return problem(422, f"not valid: {fields}", errors=errors)


def _field(location: tuple[int | str, ...]) -> str:
    """`cvText` for ("body", "cvText"); `body` for a body that isn't JSON, whose location is a character."""
    names = [str(part) for part in location if isinstance(part, str)]
    return ".".join(names[1:] or names)


async def _known(_: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    if status < 500:
        return problem(status, str(error))
    log.warning("request failed", error=str(error))
    detail = "a part of the service is away: try again" if status == 503 else "the model failed: try again"
    return problem(status, detail, headers={"Retry-After": _RETRY_AFTER_S})


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    # The error's own text could quote the request; the places it came through do not.
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("unexpected error", error=type(error).__name__, path=request.url.path, frames=frames[-8:])
    return problem(500, "unexpected error; it has been logged")

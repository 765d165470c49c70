"""Every error answer is a problem document (RFC 9457) that names the field at fault and never repeats the input."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from labs.errors import (
    BrokerError,
    DatabaseUnavailable,
    DocumentNotFound,
    IdempotencyConflict,
    JobEnded,
    JobNotFound,
    LeaseLost,
    ModelFailed,
    ModelRefused,
    ModelUnavailable,
    NotOwner,
    RpcUnanswered,
    TooManyJobs,
    VersionConflict,
)
from labs.systems.problem import MEDIA_TYPE, FieldProblem, Problem, problem

log = structlog.get_logger()

#: Our errors and the status they mean to a caller.
_STATUS = {
    JobNotFound: 404,
    DocumentNotFound: 404,
    NotOwner: 403,
    VersionConflict: 409,
    IdempotencyConflict: 422,
    JobEnded: 409,
    LeaseLost: 409,
    TooManyJobs: 429,
    DatabaseUnavailable: 503,
    ModelUnavailable: 503,
    ModelFailed: 502,
    ModelRefused: 502,
    RpcUnanswered: 504,
    BrokerError: 503,
}
_SAID = {
    502: "the model failed: try again",
    503: "a part of the service is away: try again",
    504: "a part of the service did not answer in time: it may have done it or not; try again",
}
_RETRY_AFTER_S = "2"

#: The name of an unknown field is the caller's text: enough of it to be found.
_SHOWN_FIELD_CHARACTERS = 100


def add_problem_handlers(app: FastAPI) -> None:
    """Answer all errors of an application with problem documents; `unexpected` is for what even these don't know."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for error in _STATUS:
        app.add_exception_handler(error, _known)


def describe_problems(app: FastAPI) -> None:
    """Put the models of problem documents, which the routes' descriptions refer to, into the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for model in (Problem, FieldProblem):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def answer(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """An answer with a problem document."""
    return JSONResponse(problem(status, detail, **more), status, headers=headers, media_type=MEDIA_TYPE)


def too_large(max_bytes: int) -> JSONResponse:
    """The answer to a body beyond the limit."""
    return answer(413, f"the body is larger than {max_bytes} bytes", errors=[_body("is too large")])


def unexpected(error: Exception, *, route: str) -> JSONResponse:
    """The answer to an error that nobody foresaw, which is logged."""
    # The error's own text could quote the request; the places it came through do not.
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log.error("unexpected error", error=type(error).__name__, route=route, frames=frames[-8:])
    return answer(500, "unexpected error; it has been logged")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if (
        error.status_code == 400
    ):  # FastAPI's word for a body that can't be parsed: text that isn't UTF-8, endless nesting
        return answer(422, "not valid: body", headers=headers, errors=[_body("is not JSON that can be read")])
    fields = {"errors": [_body("is too large")]} if error.status_code == 413 else {}
    return answer(error.status_code, error.detail, headers=headers, **fields)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["loc"] == ("body",) and item["type"] != "missing" for item in found) and not _is_json(request):
        return answer(415, "send the body as application/json", headers={"Accept": "application/json"})
    errors = [{"field": _field(item["loc"]), "message": item["msg"]} for item in found]
    fields = ", ".join(sorted({item["field"] for item in errors}))
    return answer(422, f"not valid: {fields}", errors=errors)


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _field(location: tuple[int | str, ...]) -> str:
    """`cvText` for ("body", "cvText"); `body` for a body that isn't JSON, whose location is a character."""
    names = [str(part) for part in location if isinstance(part, str)]
    return ".".join(names[1:] or names)[:_SHOWN_FIELD_CHARACTERS]


def _body(message: str) -> dict[str, str]:
    return {"field": "body", "message": message}


async def _known(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    if isinstance(error, VersionConflict) and "If-Match" in request.headers:
        status = 412  # what the caller made a condition isn't so
    if isinstance(error, TooManyJobs):
        return answer(status, str(error), headers={"Retry-After": str(max(1, math.ceil(error.retry_after_s)))})
    if status < 500:
        return answer(status, str(error))
    log.warning("request failed", error=str(error))
    return answer(status, _SAID[status], headers={"Retry-After": _RETRY_AFTER_S})

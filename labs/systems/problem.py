"""What an error answer looks like (RFC 9457), said once for the answers themselves and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from fastapi.exceptions import RequestValidationError

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="`body` for the body as a whole.")
    message: str


class Problem(BaseModel):
    """Why a request was not done."""

    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What went wrong and what to do; never repeats the request.")
    errors: list[FieldProblem] | None = Field(None, description="The fields at fault, if it was the request.")


_DETAILS = {
    401: "the token has expired: make a new one",
    403: "this route is for workers",
    404: "there is no job 0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e",
    409: "job 0b0e7f0e-3c55-4c4e-9a44-5f0d8a0f6f1e has ended: it is completed",
    413: "the body is larger than 262144 bytes",
    415: "send the body as application/json",
    422: "not valid: cvText",
    429: "more than 120 per 1 minute: try again later",
    502: "the model failed: try again",
    503: "a part of the service is away: try again",
    504: "a part of the service did not answer in time: it may have done it or not; try again",
}
_FIELDS = {
    413: [{"field": "body", "message": "is too large"}],
    422: [{"field": "cvText", "message": "Field required"}],
}
_HEADERS = {
    401: ("WWW-Authenticate", "Always `Bearer`."),
    429: ("Retry-After", "Seconds to wait."),
    503: ("Retry-After", "Seconds to wait."),
    504: ("Retry-After", "Seconds to wait."),
}


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """The body of a problem document."""
    return {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}


def refused(place: Literal["body", "query", "path"], field: str, message: str) -> RequestValidationError:
    """The error that names a field of the request, for what no schema can say; it is answered with 422."""
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415 - workers, which answer nobody, load no FastAPI

    return RequestValidationError([{"loc": (place, field), "msg": message, "type": "value_error"}])


def documented(*statuses: int, details: Mapping[int, str] | None = None) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for the problems that a route may answer with; `details` are examples of its own."""
    return {status: _documented(status, {**_DETAILS, **(details or {})}[status]) for status in statuses}


def _documented(status: int, detail: str) -> dict[str, Any]:
    fields = {"errors": _FIELDS[status]} if status in _FIELDS else {}
    example = problem(status, detail, **fields)
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in _HEADERS:
        name, description = _HEADERS[status]
        response["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return response

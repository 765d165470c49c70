"""Fields that requests of several systems have: text that can be stored, and headers that make repeating safe."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Header
from pydantic import ConfigDict, StringConstraints

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200, description="Repeat a request safely.")]
IfMatch = Annotated[str | None, Header(max_length=500, description="412 unless it names the present ETag.")]

#: Of an answer that has one, for the OpenAPI document.
ETAG = {"ETag": {"description": "The version, for `If-Match`.", "schema": {"type": "string"}}}


def text(most: int, *, least: int = 1) -> Any:
    """Constraints of a text. A NUL can't be stored in PostgreSQL's; the pattern refuses it with the field's name."""
    return StringConstraints(strip_whitespace=True, min_length=least, max_length=most, pattern=r"^[^\x00]*$")


def example(value: dict[str, Any]) -> ConfigDict:
    """A model that takes nothing unknown and has this example."""
    return ConfigDict(extra="forbid", json_schema_extra={"example": value})


def location(of: str) -> dict[str, Any]:
    """The header that says where something is, for the OpenAPI document."""
    return {"Location": {"description": f"Where {of} is.", "schema": {"type": "string"}}}


def expected_versions(if_match: str | None, version: int | None) -> set[int] | None:
    """The versions that a change may be made to, as `If-Match` and the body say; None for any.

    An ETag is a version in quotes. Weak ones never match (RFC 9110), nor does what is no ETag of ours.
    """
    by_body = None if version is None else {version}
    if if_match is None or if_match.strip() == "*":
        return by_body
    by_header = {int(tag) for tag in re.findall(r'(?<!/)"([0-9]{1,10})"', if_match)}
    return by_header if by_body is None else by_header & by_body

"""JSON objects as messages carry them: strict both ways, size-capped, and errors that quote nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from labs.errors import MessageError


def encode(body: Mapping[str, Any], *, max_bytes: int) -> bytes:
    """Write a JSON object.

    Raises:
        MessageError: it holds what JSON can't say, or is too large; the text holds no values.
    """
    try:
        encoded = json.dumps(dict(body), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError("this is not an object that JSON can say") from error
    _check_size(encoded, max_bytes)
    return encoded


def decode(body: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MessageError: too large, not JSON, or not an object; the text holds no values.
    """
    _check_size(body, max_bytes)
    try:
        decoded = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MessageError("the body is not JSON") from None
    if not isinstance(decoded, dict):
        raise MessageError("the body is not a JSON object")
    return decoded


def _check_size(body: bytes, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise MessageError(f"the body has {len(body)} bytes, more than {max_bytes}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON, though Python would read them

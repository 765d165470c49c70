"""JSON of any shape that users may give us to keep."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator

_MOST_CHARACTERS = 50_000


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what PostgreSQL's JSONB can't hold: a NUL, half a surrogate pair, a number that is none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        raise ValueError("is not JSON that can be stored") from None
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"has more than {_MOST_CHARACTERS} characters")
    if _holds_nul(value):
        raise ValueError("holds a NUL, which is no text")
    return value


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_holds_nul(part) for part in value)
    return isinstance(value, str) and "\x00" in value


Storable = Annotated[dict[str, Any], AfterValidator(_storable)]

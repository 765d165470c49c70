"""The cursor of a list that is read newest first, page by page, while new items arrive."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Protocol, TypeVar

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, TypeAdapter

from labs.store.jobs import Job
from labs.store.listing import Place
from labs.systems.problem import refused

Item = TypeVar("Item")

_CURSOR = TypeAdapter(tuple[AwareDatetime, Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")]])

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before.")]


class Page(BaseModel):
    """A list, newest first; a system adds the items."""

    nextCursor: Annotated[str | None, Field(description="Asks for the page after this one.")] = None


class Newest(Protocol[Item]):
    """Finds items newest first, from `before` on: the place of the last one of the page before."""

    async def __call__(self, *, limit: int, before: Place | None) -> list[Item]: ...


async def page(
    newest: Newest[Item], place: Callable[[Item], Place], *, limit: int, cursor: str | None
) -> tuple[list[Item], str | None]:
    """Items from a cursor on, and the cursor of the page after, if there is one.

    Args:
        newest: finds them.
        place: of an item.
        limit: most on a page.
        cursor: as it came.

    Raises:
        RequestValidationError: it is not a cursor that we gave.
    """
    found = await newest(limit=limit + 1, before=_read(cursor))
    return found[:limit], _written(place(found[limit - 1])) if len(found) > limit else None


def place_of_job(job: Job) -> Place:
    """Where a job is in its list."""
    return job.created_at, job.job_id


def _written(place: Place) -> str:
    return base64.urlsafe_b64encode(_CURSOR.dump_json(place)).decode()


def _read(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor))
    except ValueError:  # also base64's and pydantic's own
        raise refused("query", "cursor", "is not a cursor from `nextCursor`") from None

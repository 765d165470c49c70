"""The cursor of a list that is read newest first, page by page, while new items arrive."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, StringConstraints, TypeAdapter

from labs.store.jobs import Job, Jobs
from labs.systems.problem import refused

#: When the last job of a page was made, and its id.
_CURSOR = TypeAdapter(tuple[AwareDatetime, Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")]])

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before.")]


async def page(jobs: Jobs, *, user_id: int, limit: int, cursor: str | None) -> tuple[list[Job], str | None]:
    """A user's jobs from a cursor on, and the cursor of the page after, if there is one.

    Raises:
        RequestValidationError: it is not a cursor that we gave.
    """
    found = await jobs.newest(user_id=user_id, limit=limit + 1, before=_read(cursor))
    return found[:limit], _after(found[limit - 1]) if len(found) > limit else None


def _after(job: Job) -> str:
    return base64.urlsafe_b64encode(_CURSOR.dump_json((job.created_at, job.job_id))).decode()


def _read(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor))
    except ValueError:  # also base64's and pydantic's own
        raise refused("query", "cursor", "is not a cursor from `nextCursor`") from None

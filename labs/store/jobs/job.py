"""A job as its owner may see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from labs.store.database import Row


class JobStatus(StrEnum):
    """Where a job is."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self not in {JobStatus.PENDING, JobStatus.PROCESSING}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner may see it."""

    job_id: str
    user_id: int
    status: JobStatus
    attempts: int
    result: str | None
    metadata: Mapping[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


def job_of(row: Row) -> Job:
    """A job from its row."""
    return Job(
        job_id=row["job_id"],
        user_id=row["user_id"],
        status=JobStatus(row["status"]),
        attempts=row["attempts"],
        result=row["result"],
        metadata=row["metadata"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )

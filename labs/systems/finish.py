"""How the end of a job is committed: behind its fence, with the event that tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from labs.store.jobs import Claim, Ending
from labs.store.outbox import OutboxMessage

Body = TypeVar("Body", bound=BaseModel)
_Command_contra = TypeVar("_Command_contra", bound=BaseModel, contravariant=True)


@dataclass(frozen=True)
class Work:
    """The result of the work, what the history should know of it, and what the job's owner should."""

    result: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Finish(Protocol[_Command_contra]):
    """Commits the end of a job; harmless to repeat. `DependencyDown`: not known to be committed, so repeat it."""

    async def complete(self, claim: Claim, body: _Command_contra, work: Work) -> None:
        """Commit a result.

        Raises:
            LeaseLost: another worker has claimed or ended the job since; nothing was committed.
        """

    async def fail(self, body: _Command_contra, code: str, reason: str) -> bool:
        """End a job that nobody works on; False if it had ended, or somebody does."""


@dataclass(frozen=True)
class Committed(Generic[Body]):
    """The worker itself commits to the database.

    Args:
        jobs: the table.
        job_id: of a command.
        completed: the event of a completed job.
        failed: the event of a failed one, with its error code.
    """

    jobs: Ending
    job_id: Callable[[Body], str]
    completed: Callable[[Body], OutboxMessage]
    failed: Callable[[Body, str], OutboxMessage]

    async def complete(self, claim: Claim, body: Body, work: Work) -> None:
        await self.jobs.complete(
            claim, result=work.result, event=self.completed(body), detail=work.detail, metadata=work.metadata
        )

    async def fail(self, body: Body, code: str, reason: str) -> bool:
        event = self.failed(body, code)
        return await self.jobs.fail(self.job_id(body), code=code, message=reason, event=event)

"""The end of a job is reported to the API, which commits it; while the API is away, the result is held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from labs.errors import LeaseLost
from labs.store.jobs import Claim
from labs.systems.callback import Callback
from labs.systems.finish import Work

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Reported(Generic[Body]):
    """A `Finish` by `POST .../{jobId}/complete` and `POST .../{jobId}/fail`.

    Args:
        callback: to the API.
        jobs: the path under which it has the jobs.
        job_id: of a command.
        result: what the API calls the result.
        code: the error code for the reason of a failure.
        refused: undoes what the work has left behind for a job that has ended without it.
    """

    callback: Callback
    jobs: str
    job_id: Callable[[Body], str]
    result: str
    code: Callable[[str], str]
    refused: Callable[[str], Awaitable[None]]

    async def complete(self, claim: Claim, body: Body, work: Work) -> None:
        report = {"fence": claim.fence, "metadata": dict(work.metadata), "detail": dict(work.detail)}
        try:
            await self.callback.post(f"{self.jobs}/{self.job_id(body)}/complete", {self.result: work.result, **report})
        except LeaseLost:
            await self.refused(self.job_id(body))
            raise

    async def fail(self, body: Body, code: str, reason: str) -> bool:  # noqa: ARG002 - a system has its own codes
        report = {"errorCode": self.code(reason), "errorMessage": reason}
        ended = True
        try:
            await self.callback.post(f"{self.jobs}/{self.job_id(body)}/fail", report)
        except LeaseLost:
            ended = False
        await self.refused(self.job_id(body))
        return ended

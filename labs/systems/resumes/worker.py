"""Makes resumes: a command in, a better description, a PDF, and a call to the API that commits it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from labs.errors import LeaseLost, PermanentError
from labs.pdf.resume import make_pdf
from labs.store.jobs import Claim
from labs.systems.callback import Callback
from labs.systems.finish import Work
from labs.systems.job_queue import job_queue
from labs.systems.job_worker import JobSystem, until_up
from labs.systems.once import once
from labs.systems.resumes.codes import PREFIX, ErrorCode
from labs.systems.resumes.content import compose
from labs.systems.resumes.enhancement import Enhancer
from labs.systems.resumes.jobs import TABLE, Resumes
from labs.systems.resumes.messages import COMMANDS, EVENTS, ResumeWorkerJob
from labs.systems.resumes.topology import WEBHOOK_QUEUE
from labs.systems.resumes.webhook import webhook
from labs.systems.system import Consuming, WorkerParts
from labs.telemetry import PDF_SECONDS, observed


def consumers(parts: WorkerParts) -> Sequence[Consuming]:
    """Resumes are made, and whoever asked to be told is told."""
    # Each webhook holds a connection while it is called: some are left to the others.
    at_once = max(1, parts.settings.database_pool // 2)
    return [
        job_queue(parts, TABLE, COMMANDS, resume_system(parts)),
        once(parts, WEBHOOK_QUEUE, EVENTS, webhook(parts.settings), at_once=at_once),
    ]


def resume_system(parts: WorkerParts) -> JobSystem[ResumeWorkerJob]:
    """The resumes' part of a `JobWorker`."""
    enhancer = Enhancer(parts.database, parts.model, parts.settings)
    resumes = Resumes(parts.database)
    typesetting = asyncio.Semaphore(1)  # pure computing: two at once would only slow each other, and all leases, down

    async def perform(body: ResumeWorkerJob) -> Work:
        language = str(body.metadata.get("language") or "en")
        enhanced = await enhancer.enhance(body.jobDescription, language=language, job_id=body.jobId)
        async with typesetting:
            pdf = await asyncio.to_thread(_typeset, enhanced.text, body.metadata)
        resume_id = str(uuid.uuid4())
        await until_up(lambda: resumes.save(resume_id, job_id=body.jobId, pdf=pdf))
        return Work(resume_id, detail={"bytes": len(pdf)}, metadata=enhanced.metadata)

    return JobSystem(
        name="resumes", job_id=lambda body: body.jobId, perform=perform, finish=ByCallback(parts.callback, resumes)
    )


def _typeset(text: str, metadata: dict[str, Any]) -> bytes:
    try:
        with observed(PDF_SECONDS):
            return make_pdf(compose(text, metadata))
    except Exception as error:
        # The same text would fail again; what it says may quote the text.
        raise PermanentError(f"{ErrorCode.PDF_FAILED}: {type(error).__name__}") from error


class ByCallback:
    """The API commits the end of a job; while it is away, the result is held."""

    def __init__(self, callback: Callback, resumes: Resumes) -> None:
        self._callback = callback
        self._resumes = resumes

    async def complete(self, claim: Claim, body: ResumeWorkerJob, work: Work) -> None:
        report = {
            "resumeId": work.result,
            "fence": claim.fence,
            "metadata": dict(work.metadata),
            "detail": dict(work.detail),
        }
        try:
            await self._callback.post(f"{PREFIX}/jobs/{body.jobId}/complete", report)
        except LeaseLost:
            await self._resumes.discard_drafts(body.jobId)
            raise

    async def fail(self, body: ResumeWorkerJob, code: str, reason: str) -> bool:  # noqa: ARG002 - its own codes
        report = {"errorCode": ErrorCode.of(reason), "errorMessage": reason}
        ended = True
        try:
            await self._callback.post(f"{PREFIX}/jobs/{body.jobId}/fail", report)
        except LeaseLost:
            ended = False
        await self._resumes.discard_drafts(body.jobId)
        return ended

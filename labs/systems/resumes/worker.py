"""Makes resumes: a command in, a better description, a PDF, and a call to the API that commits it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from labs.errors import PermanentError
from labs.pdf.profile import compose
from labs.systems.enhancement import Enhancer
from labs.systems.finish import Work
from labs.systems.job_queue import job_queue
from labs.systems.job_worker import JobSystem, until_up
from labs.systems.once import once
from labs.systems.reported import Reported
from labs.systems.resumes.codes import PREFIX, ErrorCode
from labs.systems.resumes.jobs import TABLE, Resumes
from labs.systems.resumes.messages import COMMANDS, EVENTS, ResumeWorkerJob
from labs.systems.resumes.topology import WEBHOOK_QUEUE
from labs.systems.system import Consuming, WorkerParts
from labs.systems.webhooks import webhook_called
from labs.telemetry import PDF_SECONDS, observed


def consumers(parts: WorkerParts) -> Sequence[Consuming]:
    """Resumes are made, and whoever asked to be told is told."""
    # Each webhook holds a connection while it is called: some are left to the others.
    at_once = max(1, parts.settings.database_pool // 2)
    return [
        job_queue(parts, TABLE, COMMANDS, resume_system(parts)),
        once(parts, WEBHOOK_QUEUE, EVENTS, webhook_called(parts.settings, TABLE), at_once=at_once),
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

    finish = Reported(
        parts.callback, f"{PREFIX}/jobs", _job_id, "resumeId", code=ErrorCode.of, refused=resumes.discard_drafts
    )
    return JobSystem(name="resumes", job_id=_job_id, perform=perform, finish=finish)


def _job_id(body: ResumeWorkerJob) -> str:
    return body.jobId


def _typeset(text: str, metadata: dict[str, Any]) -> bytes:
    from labs.pdf.resume import make_pdf  # noqa: PLC0415 - it takes a while to import; most workers set no resume

    try:
        with observed(PDF_SECONDS):
            return make_pdf(compose(text, metadata))
    except Exception as error:
        # The same text would fail again; what it says may quote the text.
        raise PermanentError(f"{ErrorCode.PDF_FAILED}: {type(error).__name__}") from error

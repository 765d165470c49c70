"""Writes cover letters: a command in, a model call, one committed letter and its event out."""

from __future__ import annotations

from collections.abc import Sequence

from labs.errors import ModelFailed
from labs.llm.client import ModelClient
from labs.llm.prompt import cover_letter_prompt
from labs.messaging.message import now
from labs.store.jobs import Ending
from labs.systems.cover_letters.analytics import Analytics
from labs.systems.cover_letters.email import EmailNotifier
from labs.systems.cover_letters.jobs import TABLE, completed, failed
from labs.systems.cover_letters.messages import COMMANDS, EVENTS, GenerateCoverLetter
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE, EMAIL_QUEUE
from labs.systems.finish import Committed, Work
from labs.systems.job_queue import job_queue
from labs.systems.job_worker import JobSystem
from labs.systems.system import Consuming, WorkerParts
from labs.telemetry import MODEL_SECONDS, observed


def consumers(parts: WorkerParts) -> Sequence[Consuming]:
    """Letters are written, and their events become an e-mail and a statistic."""
    email, analytics = EmailNotifier(parts.database, parts.settings), Analytics(parts.database)
    prefetch = parts.events_prefetch
    return [
        job_queue(parts, TABLE, COMMANDS, cover_letter_system(Ending(parts.database, TABLE), parts.model)),
        Consuming(queue=EMAIL_QUEUE, schemas=EVENTS, handler=email.handle, give_up=email.give_up, prefetch=prefetch),
        Consuming(
            queue=ANALYTICS_QUEUE,
            schemas=EVENTS,
            handler=analytics.handle,
            give_up=analytics.give_up,
            prefetch=prefetch,
        ),
    ]


def cover_letter_system(jobs: Ending, model: ModelClient) -> JobSystem[GenerateCoverLetter]:
    """The cover letters' part of a `JobWorker`."""

    async def perform(body: GenerateCoverLetter) -> Work:
        asked_at = now()
        prompt = cover_letter_prompt(body.jobDescription, body.cvText, body.tone.value)
        with observed(MODEL_SECONDS):
            completion = await model.complete(prompt, request_id=body.jobId)
        if "\x00" in completion.text:
            raise ModelFailed("the model's answer holds characters that are not text")
        return Work(
            result=completion.text,
            detail={
                "model": completion.model,
                "askedAt": asked_at.isoformat(),
                "modelSeconds": round(completion.duration_s, 4),
                "promptTokens": completion.prompt_tokens,
                "completionTokens": completion.completion_tokens,
            },
        )

    return JobSystem(
        name="cover_letters",
        job_id=_job_id,
        perform=perform,
        finish=Committed(jobs, _job_id, completed, failed),
    )


def _job_id(body: GenerateCoverLetter) -> str:
    return body.jobId

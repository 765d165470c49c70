"""Writes cover letters: a command in, a model call, one committed letter and its event out."""

from __future__ import annotations

from labs.llm.client import ModelClient
from labs.llm.prompt import cover_letter_prompt
from labs.messaging.message import now
from labs.systems.cover_letters.jobs import completed, failed
from labs.systems.cover_letters.messages import GenerateCoverLetter
from labs.systems.job_worker import JobSystem, Work


def cover_letter_system(model: ModelClient) -> JobSystem[GenerateCoverLetter]:
    """The cover letters' part of a `JobWorker`."""

    async def perform(body: GenerateCoverLetter) -> Work:
        asked_at = now()
        completion = await model.complete(
            cover_letter_prompt(body.jobDescription, body.cvText, body.tone.value), request_id=body.jobId
        )
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

    return JobSystem(job_id=lambda body: body.jobId, perform=perform, completed=completed, failed=failed)

"""Has the model improve a description, and does without when it can't: a resume never waits for long, and never fails.

Equal descriptions in the same language are improved once: the answers are kept by a hash, for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from labs.errors import ModelError, ModelRefused
from labs.llm.enhancement import enhancement_prompt
from labs.settings import Settings
from labs.store.database import Database
from labs.telemetry import ENHANCEMENTS, MODEL_SECONDS, observed

if TYPE_CHECKING:
    from labs.llm.client import ModelClient

log = structlog.get_logger()

_MOST_CHARACTERS = 8000
_GET = "SELECT text FROM resume_enhancements WHERE key = %s"
_KEEP = "INSERT INTO resume_enhancements (key, text) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"
_FORGET = """
DELETE FROM resume_enhancements WHERE key IN (
    SELECT key FROM resume_enhancements
    WHERE created_at < clock_timestamp() - make_interval(secs => %s) ORDER BY created_at LIMIT 5000)
"""


@dataclass(frozen=True)
class Enhanced:
    """The text to use, and what the job's metadata says of it."""

    text: str
    metadata: dict[str, Any]


class Enhancer:
    """Improves descriptions with one model."""

    def __init__(self, database: Database, model: ModelClient, settings: Settings) -> None:
        self._database = database
        self._model = model
        self._timeout_s = settings.enhance_timeout_s
        self._delays_s = [delay / 1000 for delay in settings.retry_delays_ms]

    async def enhance(self, description: str, *, language: str, job_id: str) -> Enhanced:
        """The description as the model improves it, or as it is; the metadata says which, and why."""
        if not description:
            return _without(description, "there is no description to enhance")
        key = _key(self._model.model, language, description)
        kept = await self._kept(key)
        if kept is not None:
            ENHANCEMENTS.labels("cached").inc()
            return Enhanced(kept, {"enhanced": True, "enhancementCached": True})
        try:
            async with asyncio.timeout(self._timeout_s):
                text = await self._ask(description, language, job_id)
        except TimeoutError:
            return _without(description, f"the model gave no answer within {self._timeout_s:g} s")
        except ModelError as error:
            log.warning("going on without the model", job_id=job_id, reason=str(error))
            return _without(description, _FAILURES.get(type(error).__name__, "the model failed at every attempt"))
        await self._database.execute(_KEEP, key, text)
        ENHANCEMENTS.labels("model").inc()
        return Enhanced(text, {"enhanced": True, "enhancementCached": False})

    async def _kept(self, key: str) -> str | None:
        row = await self._database.row(_GET, key)
        return str(row["text"]) if row else None

    async def _ask(self, description: str, language: str, job_id: str) -> str:
        """The model's answer; what may pass is tried again, with the waits of every delivery."""
        prompt = enhancement_prompt(description, language)
        for delay_s in [*self._delays_s, None]:
            try:
                with observed(MODEL_SECONDS):
                    completion = await self._model.complete(prompt, request_id=job_id)
            except ModelRefused:
                raise
            except ModelError:
                if delay_s is None:
                    raise
                await asyncio.sleep(delay_s)
            else:
                return completion.text.replace("\x00", "").strip()[:_MOST_CHARACTERS]
        raise AssertionError("the last attempt returns or raises")


async def forget_enhancements(database: Database, settings: Settings) -> None:
    """Delete answers that the model gave too long ago; the next such description is improved anew."""
    await database.execute(_FORGET, settings.enhancement_lifetime_s)


_FAILURES = {
    "ModelUnavailable": "the model does not answer",
    "ModelRefused": "the model refused the request",
}


def _without(description: str, reason: str) -> Enhanced:
    ENHANCEMENTS.labels("without").inc()
    return Enhanced(description, {"enhanced": False, "enhancementError": reason})


def _key(model: str, language: str, description: str) -> str:
    return hashlib.sha256("\x00".join((model, language.lower(), description)).encode()).hexdigest()

"""Asks a language model; each call is made once, and ends within its deadline.

Retries belong to the message flow, which counts them, so the package's own are off. Every failure is one of
three: `ModelFailed` (this call), `ModelUnavailable` (nothing answers) or `ModelRefused` (never). No error's
message holds a prompt, a key or an answer. A call that timed out may still have been served, and billed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ValidationError

from labs.errors import ConfigurationError, ModelFailed
from labs.llm.prompt import ChatMessage
from labs.settings import Settings, get_settings

if TYPE_CHECKING:
    from labs.llm.calls import Calls

_OPENAI = "https://api.openai.com/v1"

#: The stub takes any key, and the package insists on one.
_ANY_KEY = "none"


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer; token counts are the model's own, 0 if it gave none."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    duration_s: float


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(BaseModel):
    model: str = ""
    choices: tuple[_Choice, ...]
    usage: _Usage | None = None


class _DeltaChoice(BaseModel):
    delta: _Message
    finish_reason: str | None = None


class _Chunk(BaseModel):
    choices: tuple[_DeltaChoice, ...]


class ModelClient:
    """Connections to one model; use it as an async context manager, or `aclose` it.

    Safe for any number of concurrent calls in one event loop; each holds a connection while it runs.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Take everything from the settings; what is given by name wins.

        With `OPENAI_API_KEY` or `OPENAI_BASE_URL` set that service is called, else the stub model.

        Args:
            settings: Default: those of this process.
            base_url: Address up to and with `/v1`.
            api_key: The service's key; the stub takes any.
            model: Name of the model.
            timeout_s: Seconds from the start of a call to the last byte of its answer.

        Raises:
            ConfigurationError: the address is no http(s) URL.
        """
        settings = settings or get_settings()
        self.base_url = _address(base_url or _address_of(settings))
        self.model = model or settings.model
        self.timeout_s = timeout_s or settings.model_timeout_s
        key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else _ANY_KEY
        self._api_key = api_key or key
        self._calls: Calls | None = None

    async def prepare(self) -> Calls:
        """Load the openai package, for half a second beside everything else; else the first call does."""
        if self._calls is None:
            calls = await asyncio.to_thread(import_module, "labs.llm.calls")
            # Another call may have been here in the meantime.
            self._calls = self._calls or calls.Calls(
                base_url=self.base_url, api_key=self._api_key, timeout_s=self.timeout_s
            )
        return self._calls

    async def complete(self, messages: Sequence[ChatMessage], *, request_id: str) -> Completion:
        """Ask once and wait for the whole answer.

        Args:
            messages: The prompt.
            request_id: Sent as `X-Request-Id`; the stub's ledger counts calls by it.

        Raises:
            ModelFailed: overloaded, timed out, cut off, nonsense, or an empty text.
            ModelUnavailable: nothing answers at the address.
            ModelRefused: this request will never be answered.
        """
        calls = await self.prepare()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_s):
                content = await calls.post(self._body(messages), request_id=request_id)
        except TimeoutError:
            raise self._too_late() from None
        return self._completion(content, duration_s=time.monotonic() - started)

    async def stream(self, messages: Sequence[ChatMessage], *, request_id: str) -> AsyncIterator[str]:
        """Ask once and yield the answer piece by piece; errors as in `complete`, at the piece they hit.

        The deadline bounds the waiting for the model, not what the caller does between two pieces.
        """
        calls = await self.prepare()
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        said = ended = False
        chunks = self._chunks(calls, messages, request_id=request_id)
        try:
            while (chunk := await _next_before(deadline, chunks)) is not None:
                for choice in chunk.choices[:1]:
                    ended = ended or choice.finish_reason is not None
                    if choice.delta.content:
                        said = said or not choice.delta.content.isspace()
                        yield choice.delta.content
        except TimeoutError:
            raise self._too_late() from None
        finally:
            await chunks.aclose()
        if not ended:
            raise ModelFailed(f"{self.base_url} cut its answer off: another attempt may succeed")
        if not said:
            raise self._empty()

    async def _chunks(
        self, calls: Calls, messages: Sequence[ChatMessage], *, request_id: str
    ) -> AsyncGenerator[_Chunk]:
        try:
            async with contextlib.aclosing(calls.stream(self._body(messages), request_id=request_id)) as events:
                async for event in events:
                    yield _Chunk.model_validate(event)
        except ValueError:  # an event that is no JSON, or JSON of another shape
            raise self._nonsense() from None

    async def aclose(self) -> None:
        """Close every connection; calls under way fail."""
        if self._calls is not None:
            await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _body(self, messages: Sequence[ChatMessage]) -> dict[str, object]:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        return {"model": self.model, "messages": chat}

    def _completion(self, content: bytes, *, duration_s: float) -> Completion:
        try:
            body = _Body.model_validate_json(content)
        except ValidationError:
            raise self._nonsense() from None
        text = body.choices[0].message.content if body.choices else None
        if not text or not text.strip():
            raise self._empty()
        usage = body.usage or _Usage()
        return Completion(
            text=text,
            model=body.model or self.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            duration_s=duration_s,
        )

    def _too_late(self) -> ModelFailed:
        return ModelFailed(
            f"{self.base_url} did not answer within {self.timeout_s:g} s: "
            "another attempt may succeed, or raise LAB_MODEL_TIMEOUT_S"
        )

    def _empty(self) -> ModelFailed:
        return ModelFailed(f"{self.base_url} answered with an empty text: another attempt may succeed")

    def _nonsense(self) -> ModelFailed:
        return ModelFailed(
            f"{self.base_url} answered with something that is no completion: another attempt may succeed"
        )


async def _next_before(deadline: float, chunks: AsyncGenerator[_Chunk]) -> _Chunk | None:
    async with asyncio.timeout_at(deadline):
        return await anext(chunks, None)


def _address_of(settings: Settings) -> str:
    if settings.openai_base_url:
        return settings.openai_base_url
    if settings.openai_api_key:
        return _OPENAI
    return f"http://{settings.stub_host}:{settings.stub_port}/v1"


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"OPENAI_BASE_URL={url!r} is not an address: it starts with http:// or https://")
    return url.rstrip("/")

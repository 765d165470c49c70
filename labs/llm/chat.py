"""The shapes of the Chat Completions protocol, as the stub model reads and writes them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labs.llm.prompt import ChatMessage

#: A token is about four characters of English.
CHARACTERS_PER_TOKEN = 4

_PIECES = re.compile(r"\S+\s*|\s+")


class _Part(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[_Part, ...] | None = None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of a request that the stub acts on; it takes the rest and leaves it."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(min_length=1)
    messages: tuple[_Message, ...] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None

    def chat(self) -> list[ChatMessage]:
        """The messages as plain text."""
        return [_plain(message) for message in self.messages]


def _plain(message: _Message) -> ChatMessage:
    role: Literal["system", "user", "assistant"] = "user"
    if message.role in {"system", "developer"}:
        role = "system"
    elif message.role == "assistant":
        role = "assistant"
    content = message.content or ""
    text = content if isinstance(content, str) else "\n".join(part.text for part in content)
    return ChatMessage(role, text)


def usage(messages: Sequence[ChatMessage], text: str) -> dict[str, int]:
    """Token counts, estimated from lengths."""
    prompt = sum(len(message.content) for message in messages) // CHARACTERS_PER_TOKEN + 1
    completion = -(-len(text) // CHARACTERS_PER_TOKEN)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(*, completion_id: str, model: str, text: str, tokens: dict[str, int]) -> bytes:
    """A `chat.completion` body."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json(
        {
            "id": completion_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [choice],
            "usage": tokens,
        }
    )


def events(
    *, completion_id: str, model: str, text: str, tokens: dict[str, int], include_usage: bool
) -> Iterator[bytes]:
    """The server-sent events of a streamed completion, a word each, up to and with `[DONE]`."""
    head = {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    yield _event(head | {"choices": [_delta({"role": "assistant", "content": ""})]})
    for piece in _PIECES.findall(text):
        yield _event(head | {"choices": [_delta({"content": piece})]})
    yield _event(head | {"choices": [_delta({}, finish_reason="stop")]})
    if include_usage:
        yield _event(head | {"choices": [], "usage": tokens})
    yield b"data: [DONE]\n\n"


def error(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error body."""
    return _json({"error": {"message": message, "type": kind, "param": param, "code": code}})


def invalid(problem: ValidationError) -> bytes:
    """An error body that names the first field at fault."""
    first = problem.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    message = f"{param}: {first['msg']}" if param else first["msg"]
    return error(message, kind="invalid_request_error", param=param)


def models(name: str) -> bytes:
    """The list of models: the one that was asked for, since any name will do."""
    return _json({"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "lab"}]})


def _delta(delta: dict[str, str], *, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _json(payload)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

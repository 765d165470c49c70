"""How an answer leaves the stub model: whole, streamed, or spoilt in one of the ways that the dials name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import assert_never

from labs.llm import chat
from labs.llm.dials import Dials, Fault
from labs.llm.http_server import Reply
from labs.llm.prompt import ChatMessage

_EVENT_STREAM = "text/event-stream; charset=utf-8"

#: What `garbage` sends, in turn: no JSON, JSON of another shape, a body cut off.
_GARBAGE = (b"<html>upstream error</html>", b'{"choices":42}', b'{"id":"chatcmpl-stub","choices":[{"mess')


class Answer:
    """A text in the form that the request asked for."""

    def __init__(self, request: chat.ChatRequest, *, text: str, messages: Sequence[ChatMessage], number: int) -> None:
        self.stream = request.stream
        self.number = number
        self._request = request
        self._text = text
        self._tokens = chat.usage(messages, text)
        self._id = f"chatcmpl-stub{number}"

    def body(self) -> bytes:
        """The whole answer as one JSON document."""
        return chat.completion(completion_id=self._id, model=self._request.model, text=self._text, tokens=self._tokens)

    def events(self) -> Iterator[bytes]:
        """The answer as server-sent events."""
        options = self._request.stream_options
        return chat.events(
            completion_id=self._id,
            model=self._request.model,
            text=self._text,
            tokens=self._tokens,
            include_usage=options is not None and options.include_usage,
        )


class Delivery:
    """One way of answering per fault; None is the good way."""

    def __init__(self, answer: Answer, *, dials: Dials, reply: Reply) -> None:
        self._answer = answer
        self._dials = dials
        self._reply = reply

    async def deliver(self, fault: Fault | None) -> None:
        """Answer, or fail as told; returns when nothing more will be sent."""
        match fault:
            case None | Fault.EMPTY:
                await self._send()
            case Fault.RATE_LIMIT:
                self._rate_limit()
            case Fault.SERVER_ERROR:
                self._reply.send(500, chat.error("the stub failed, as its dials say", kind="server_error"))
            case Fault.TIMEOUT:
                await asyncio.sleep(self._dials.hold_s)
                self._reply.close()
            case Fault.RESET:
                self._reset()
            case Fault.SLOW_DRIP:
                await self._drip()
            case Fault.GARBAGE:
                self._garbage()
            case _:
                assert_never(fault)

    async def _send(self) -> None:
        if not self._answer.stream:
            self._reply.send(200, self._answer.body())
            return
        self._reply.begin(200, length=None, content_type=_EVENT_STREAM)
        pause_s = self._dials.token_interval_ms / 1000
        events = list(self._answer.events())
        if pause_s:
            for event in events[:-1]:
                self._reply.chunk(event)
                await asyncio.sleep(pause_s)
            events = events[-1:]
        self._reply.chunk(b"".join(events))
        self._reply.end_chunks()

    def _rate_limit(self) -> None:
        wait_s = self._dials.retry_after_s
        body = chat.error("too many requests", kind="requests", code="rate_limit_exceeded")
        self._reply.send(429, body, {"retry-after": f"{wait_s:g}"})

    def _reset(self) -> None:
        if self._answer.stream:  # half of it goes out first: the harder case for a client
            events = list(self._answer.events())
            self._reply.begin(200, length=None, content_type=_EVENT_STREAM)
            self._reply.chunk(b"".join(events[: len(events) // 2]))
        self._reply.reset()

    async def _drip(self) -> None:
        body = b"".join(self._answer.events()) if self._answer.stream else self._answer.body()
        content_type = _EVENT_STREAM if self._answer.stream else "application/json"
        self._reply.begin(200, length=len(body), content_type=content_type)
        try:
            async with asyncio.timeout(self._dials.hold_s):
                for byte in body:
                    self._reply.write(bytes([byte]))
                    await asyncio.sleep(self._dials.drip_interval_ms / 1000)
        except TimeoutError:
            self._reply.close()

    def _garbage(self) -> None:
        nonsense = _GARBAGE[self._answer.number % len(_GARBAGE)]
        if self._answer.stream:
            self._reply.send(200, b"data: %b\n\n" % nonsense, content_type=_EVENT_STREAM)
        else:
            self._reply.send(200, nonsense)

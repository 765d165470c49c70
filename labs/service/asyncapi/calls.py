"""Calls: a request to a queue, and the answer straight back to the channel that it came from."""

from __future__ import annotations

from collections.abc import Sequence

from labs.service.asyncapi.parts import Json, Parts, documented, identifier, reference
from labs.service.asyncapi.queues import queue_binding
from labs.systems.contract import Answered

_REPLIES = "replies"


class Calls:
    """Adds the calls that a system answers."""

    def __init__(self, parts: Parts, system: str) -> None:
        self._parts = parts
        self._system = system

    def add(self, calls: Sequence[Answered]) -> None:
        """Add a channel and an operation for each, and the one channel of all replies."""
        for call in calls:
            self._add(call)

    def _add(self, call: Answered) -> None:
        request, reply = self._messages(call)
        channel_id = identifier("queue", call.queue)
        self._parts.channels[channel_id] = {
            "address": call.queue,
            "messages": {request: reference("components", "messages", request)},
            "bindings": {"amqp": queue_binding(call.queue)},
        }
        replies = self._parts.channels.setdefault(_REPLIES, _replies())
        replies["messages"][reply] = reference("components", "messages", reply)
        self._parts.operations[identifier("answer", call.queue)] = {
            "action": "receive",
            "title": documented(call.request),
            "channel": reference("channels", channel_id),
            "messages": [reference("channels", channel_id, "messages", request)],
            "tags": [{"name": self._system}],
            "reply": {
                "address": {"location": "$message.header#/reply_to", "description": "AMQP's property `reply_to`."},
                "channel": reference("channels", _REPLIES),
                "messages": [reference("channels", _REPLIES, "messages", reply)],
            },
        }

    def _messages(self, call: Answered) -> tuple[str, str]:
        return (
            self._parts.plain_message(f"{call.queue}.request", {}, system=self._system, model=call.request),
            self._parts.plain_message(f"{call.queue}.reply", {}, system=self._system, model=call.reply),
        )


def _replies() -> Json:
    description = "The caller's own, through direct reply-to. An error comes as type `rpc.error`: `{code, message}`."
    return {"address": None, "description": description, "messages": {}}

"""Chapter 05: a server's callback that leaves no caller without an answer that is its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import BasicProperties

from labs.broker import VirtualHost

_QUEUE = "exercise"
OnQuestion = Callable[[Any, Any, BasicProperties, bytes], object]


class _Watched:
    """A channel that notes what is called on it, in order."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        return getattr(self._channel, name)


def check_server(vhost: VirtualHost, on_question: OnQuestion) -> str:
    """Answers with the number of bytes, under the question's correlation id, then acknowledges; bears no reply_to."""
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete(_QUEUE)
        channel.queue_declare(_QUEUE, durable=True)
        answers = channel.queue_declare("", exclusive=True).method.queue
        asked = BasicProperties(reply_to=answers, correlation_id="question 7")
        try:
            called = _serve(connection, asked, on_question)
        except Exception as error:  # the learner's code may do anything
            return f"Not yet: a good question ends your server: {type(error).__name__}."
        _, properties, body = channel.basic_get(answers, auto_ack=True)
        told = _judged(properties, body, called)
        if told:
            return told
        try:
            called = _serve(connection, BasicProperties(), on_question)
        except Exception as error:
            return f"Not yet: a question without reply_to ends your server: {type(error).__name__}."
        if "basic_ack" not in called:
            return "Not yet: a question without reply_to is never acknowledged, and comes back for ever."
    return "Solved: the right caller gets the answer, a crash leaves the question to others, and nothing circles."


def _serve(connection: pika.BlockingConnection, asked: BasicProperties, on_question: OnQuestion) -> list[str]:
    """Let the learner's server have one question; what it called on its channel."""
    channel = connection.channel()
    watched = _Watched(channel)
    channel.basic_publish("", _QUEUE, b"hello", asked)
    method, properties, body = next(channel.consume(_QUEUE))
    on_question(watched, method, properties or BasicProperties(), body or b"")
    channel.queue_declare(_QUEUE, passive=True)  # the broker has seen all that was sent before
    channel.close()
    return watched.called


def _judged(properties: BasicProperties | None, body: bytes | None, called: list[str]) -> str:
    if body is None or properties is None:
        return "Not yet: no answer has come. Where does the caller wait for it?"
    if body != b"5":
        return f"Not yet: 5 bytes were sent, and the answer is {body[:40]!r}."
    if properties.correlation_id != "question 7":
        return "Not yet: the answer has no correlation id of its question. Whose answer is it?"
    if "basic_ack" not in called:
        return "Not yet: the question is never acknowledged: it comes again as soon as this server is gone."
    if "basic_publish" in called[called.index("basic_ack") :]:
        return (
            "Not yet: it acknowledges first. If it dies then, nobody has the question any more, and the caller waits."
        )
    return ""

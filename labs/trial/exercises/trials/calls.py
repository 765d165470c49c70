"""Trials of servers: every question is answered in the end, with its own answer, and takes effect once."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.trial import operations as op
from labs.trial.bench import AT, COMMITTED_AT
from labs.trial.exercises.stage import Stage
from labs.trial.history import History, Ids

_QUEUE = "rpc.charge"
_REPLY_TO = "amq.rabbitmq.reply-to"
#: A client asks again when it has waited for so long, and gives up at last.
_TIMEOUT_S, _ROUNDS, _PATIENT_ROUNDS = 1.0, 3, 15
_SCHEMA = (
    "CREATE TABLE handled (message text PRIMARY KEY, answer text); "
    f"CREATE TABLE charges (message text NOT NULL, account text NOT NULL, amount integer NOT NULL, {AT})"
)


class _Caller:
    """Asks, and sorts the answers by their correlation ids, in one thread."""

    def __init__(self, channel: BlockingChannel, history: History) -> None:
        self.channel, self.history = channel, history
        self.asked: dict[str, str] = {}
        self.answered: set[str] = set()
        channel.basic_consume(_REPLY_TO, self._on_answer, auto_ack=True)

    def ask(self, message: str) -> None:
        request, body = str(uuid.uuid4()), f"10 {message}"
        self.asked[request] = message
        ids = Ids(request=request, message=message)
        self.history.add("client", "invoke", op.ASK, ids, value=f"charged {body}")
        properties = pika.BasicProperties(
            message_id=message, correlation_id=request, reply_to=_REPLY_TO, delivery_mode=2
        )
        self.channel.basic_publish("", _QUEUE, body.encode(), properties, mandatory=True)
        self.history.add("client", "ok", op.MARK, Ids(message=message))

    def listen(self, seconds: float) -> None:
        """Take what answers come, until all are there."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.done:
            self.channel.connection.process_data_events(time_limit=0.02)

    @property
    def done(self) -> bool:
        return self.answered >= set(self.asked.values())

    def _on_answer(self, _: Any, __: Any, properties: pika.BasicProperties, body: bytes) -> None:
        message = self.asked.get(properties.correlation_id or "")
        if message is not None:  # what nobody has asked is dropped
            ids = Ids(request=properties.correlation_id or "", message=message)
            self.history.add("client", "ok", op.ASK, ids, value=body.decode(errors="replace"))
            self.answered.add(message)


def rpc(stage: Stage) -> None:
    """Two servers, some questions asked twice by an impatient client, and a server killed in the middle of one."""
    bench = stage.bench
    bench.database.execute(_SCHEMA.encode())
    with bench.channel() as channel:
        channel.queue_declare(_QUEUE, durable=True)
    stage.say("2 of your programs start")
    stage.start("server-1", "server-2")
    stage.ready(_QUEUE, consumers=2)
    with bench.channel("client") as channel:
        caller = _Caller(channel, bench.history)
        questions = [f"question-{number}" for number in range(1, 31)]
        impatient = set(stage.random.sample(questions[:20], 6))
        for question in questions:
            caller.ask(question)
            if question in impatient:
                caller.ask(question)
        stage.kill("server-1", after=op.SETTLE, times=stage.random.randint(3, 7))
        stage.start("server-3")
        for _ in range(_ROUNDS):
            caller.listen(_TIMEOUT_S)
            for request, message in list(caller.asked.items()):
                if message not in caller.answered:
                    bench.history.add("client", "info", op.ASK, Ids(request=request, message=message))
                    caller.ask(message)
        settled = bench.messages
        for _ in range(_PATIENT_ROUNDS):  # slow is not wrong: as long as a server has a question, or will have one
            caller.listen(_TIMEOUT_S)
            if settled(op.MARK) <= settled(op.SETTLE):
                break
        stage.finish(
            lambda: settled(op.MARK) <= settled(op.SETTLE) and bench.depth(_QUEUE).consumers == 2, queues=[_QUEUE]
        )
    bench.effects(f"SELECT message, {COMMITTED_AT} FROM charges ORDER BY at", queue=_QUEUE)

"""Publishes a schedule: no message before its time, none forgotten, and its true delay written down.

A message that can't go when it is meant to, because the broker is slow to confirm or to read, goes as soon as it can
and keeps its intended time. What was not sent or not answered at the end is in the books as such. A broker that is
away is waited for; one that refuses again and again what is published is not.
"""

from __future__ import annotations

import time
from typing import Any

from pamqp import commands

from loadtest.engine.clients import publish
from loadtest.engine.confirms import ConfirmReader, Returned, Settled
from loadtest.engine.frames import PublishTemplate
from loadtest.engine.opening import refuse_if_closed
from loadtest.engine.plan import Task
from loadtest.engine.publications import Publications
from loadtest.engine.schedule import Times
from loadtest.engine.wire import Link

#: From so many messages per second on, a producer gathers what is due.
GATHERS_FROM = 500
#: For so long: less would spend the CPU on system calls, and the broker needs it.
GATHER_S = 0.001
_MOST_AT_ONCE = 256
#: Bytes that go out at once at the most; a large message goes alone.
_MOST_BYTES = 256 * 1024
#: With nothing to do, it looks up so often all the same.
_LOOK_UP_S = 0.05


class Publishing:
    """The engine's producer."""

    def __init__(self, account: Publications) -> None:
        self._account, self._task, self._plan = account, account.task, account.plan
        rate = self._plan.rate
        self._gather_s = GATHER_S if rate is None or rate / self._plan.producers > GATHERS_FROM else 0.0
        self._next_s = 0.0
        self._batches = 0
        self._link: Link | None = None

    def connect(self) -> None:
        link = Link.open(self._task.url, name=f"load producer {self._task.number}")
        if self._plan.window:
            link.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
        self._reader = ConfirmReader()
        self._templates = [
            PublishTemplate(
                exchange="",
                routing_key=queue,
                size=self._plan.size,
                persistent=self._plan.persistent,
                frame_max=link.frame_max,
                most=max(1, min(_MOST_AT_ONCE, _MOST_BYTES // self._plan.size)),
                mandatory=self._plan.mandatory,
            )
            for queue in self._task.queues
        ]
        self._link = link

    @property
    def is_writing(self) -> bool:
        return self._link is not None and self._link.pending

    def step(self) -> None:
        if self._link is None:
            self.connect()
            assert self._link is not None
        if not self._link.pending and time.monotonic() >= self._next_s:
            due = self._account.due(self._room())
            if due is not None:
                self._send(due)
        if self._link.wait(self._wait_s()):
            self._settle()

    def disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    @property
    def _template(self) -> PublishTemplate:
        """Queues take turns, batch by batch."""
        return self._templates[self._batches % len(self._templates)]

    def _room(self) -> int:
        """How many messages may go now."""
        most = self._template.most
        if not self._plan.window:
            return most
        room = min(most, self._plan.window - self._account.book.outstanding)
        # A nearly full window: wait for some room, rather than to send one by one.
        return room if room >= min(self._plan.window, most) // 4 else 0

    def _send(self, intended_ns: Times) -> None:
        assert self._link is not None
        template = self._template
        self._batches += 1
        self._link.send(template.stamped(self._account.stamped(intended_ns)))
        # Where the window is full it is confirms that let the next one go: to gather would slow the round trip down.
        self._next_s = time.monotonic() + self._gather_s if self._room() else 0.0

    def _wait_s(self) -> float:
        """How long there is nothing to send."""
        if self.is_writing or not self._room():
            return _LOOK_UP_S
        return min(_LOOK_UP_S, max(0.0, self._next_s - time.monotonic(), self._account.until_next_s()))

    def _settle(self) -> None:
        assert self._link is not None
        for answer in self._reader.read(self._link.inbox):
            if isinstance(answer, Settled):
                self._account.settle(answer)
            elif isinstance(answer, Returned):
                if answer.sequence is not None:
                    self._account.book.returned(answer.sequence)
            else:
                self._note(answer)

    def _note(self, method: Any) -> None:
        """Blocked and unblocked are facts of a run, not errors."""
        if isinstance(method, commands.Connection.Blocked):
            self._account.blocked()
        elif isinstance(method, commands.Connection.Unblocked):
            self._account.unblocked()
        else:
            refuse_if_closed(method)


def main(task: Task) -> None:
    """Run one producer, and leave its books in a file."""
    account = Publications(task)
    publish(account, Publishing(account))

"""What the users of one scenario share in one process: queues and consumers of its own, its part of the board.

Its names are its own; at the end it removes what it made, and nothing else.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import gevent
from gevent.pool import Group
from locust import User
from locust.env import Environment
from pika.exceptions import AMQPError

from labs.processes import wait_until
from loadtest import arguments
from loadtest.amqp import connect, words
from loadtest.engine.plan import Plan
from loadtest.pacing import Pace
from loadtest.part import Part
from loadtest.stats import Row

if TYPE_CHECKING:
    from loadtest.load import Load

_END_TIMEOUT_S = 5.0
#: Between two attempts to get a lost connection back.
RECONNECT_S = 0.5


loads: WeakKeyDictionary[Environment, Load] = WeakKeyDictionary()


def load_of(environment: Environment) -> Load:
    """The load of this process."""
    return loads[environment]


class ScenarioFailed(Exception):
    """A scenario can't begin; the text says why."""


class Scenario:
    """One scenario in one process.

    Args:
        load: what all scenarios of this process have in common.
        user_class: whose scenario it is.
    """

    #: Seconds that what is under way has to arrive, once no more is sent.
    drain_s: ClassVar[float] = 10.0
    needs_broker: ClassVar[bool] = True
    #: The requests that sending and arriving count as, in Locust's table.
    kinds: ClassVar[tuple[str, ...]] = ("publish", "done")

    def __init__(self, load: Load, user_class: type[User]) -> None:
        self.load = load
        self.title = user_class.__name__
        self.name = f"load.{self.title.lower()}.{secrets.token_hex(4)}"
        self.plan: Plan = arguments.plan_of(load.options, share=1 / load.options.load_users)
        self.parts: list[Part] = []
        self._paces: list[Pace] = []
        self._consumers = Group()
        self._made: list[tuple[str, str]] = []
        self._warm_ns = 0
        self._is_over = False

    @property
    def url(self) -> str:
        """The broker."""
        return self.load.url

    def prepare(self) -> None:
        """Make queues and start consumers.

        Raises:
            ScenarioFailed: the broker refuses; what was made is removed again.
        """
        if self.plan.rate is None:
            raise ScenarioFailed(f"{self.title} needs a rate: full speed is for Firehose")
        self.part = Part(self.title, busy=self.load.busy, due=self._due, is_done=self._is_done)
        self.parts = [self.part]
        self.make()

    def make(self) -> None:
        """Connect to the broker and declare."""
        try:
            with contextlib.closing(connect(self.url, self.name)) as connection:
                self.declare(connection.channel())
        except (AMQPError, OSError) as error:
            self.close()
            raise ScenarioFailed(f"{self.title} could not make its queues: {words(error)}") from error

    def declare(self, channel: Any) -> None:
        """Make what the scenario needs, each with `made`, and start its consumers with `start`."""

    def made(self, kind: str, name: str) -> str:
        """Note a queue or an exchange that is to be removed at the end."""
        self._made.append((kind, name))
        return name

    def start(self, consume: Any, *arguments: Any) -> None:
        """Run a consumer for ever; when its connection is lost, run it again."""
        self._consumers.spawn(self._supervised, consume, arguments)

    def _supervised(self, consume: Any, arguments: tuple[Any, ...]) -> None:
        while not self._is_over:
            try:
                consume(*arguments)
            except (AMQPError, OSError) as error:
                self.load.warn(f"a consumer of {self.title} lost its connection: {words(error)}")
                gevent.sleep(RECONNECT_S)

    def pace(self) -> Pace:
        """The schedule of one more user."""
        seed = (self.plan.seed, self.load.worker_index, len(self._paces))
        made = Pace(self.plan, seed=seed, is_endless=not self.load.options.duration)
        self._warm_ns = self._warm_ns or time.monotonic_ns() + int(self.plan.warmup_s * 1e9)
        self._paces.append(made)
        self.part.users = len(self._paces)
        return made

    def _due(self) -> int:
        return sum(pace.due() for pace in self._paces)

    def is_warm(self, intended_ns: int) -> bool:
        """Whether a message is one whose latencies count."""
        return intended_ns >= self._warm_ns

    def fire(self, kind: str, intended_ns: int, *, length: int = 0, error: BaseException | None = None) -> None:
        """One request of Locust's, ended now, begun when it was meant to."""
        took_ms = (time.monotonic_ns() - intended_ns) / 1e6 if self.is_warm(intended_ns) else None
        fire: Any = self.load.environment.events.request.fire
        fire(
            request_type=kind,
            name=self.title,
            response_time=took_ms,
            response_length=length,
            exception=error,
            context={},
        )

    def departed(self, intended_ns: int, sent_ns: int) -> None:
        """A message goes now."""
        self.part.sent += 1
        if self.is_warm(intended_ns):
            self.part.record("send_delay", sent_ns - intended_ns)

    def confirmed(self, intended_ns: int, sent_ns: int) -> None:
        """A message was confirmed just now."""
        self.part.confirmed += 1
        if self.is_warm(intended_ns):
            self.part.record("confirm", time.monotonic_ns() - sent_ns)

    def lost(self) -> None:
        """A message is no longer waited for: it failed."""
        self.part.lost += self.part.copies

    def received(self, intended_ns: int, sent_ns: int) -> None:
        """A message has arrived just now, or its answer has."""
        self.part.received += 1
        if self.is_warm(intended_ns):
            now_ns = time.monotonic_ns()
            self.part.record("from_intended", now_ns - intended_ns)
            self.part.record("from_sent", now_ns - sent_ns)

    def wind_down(self) -> None:
        """No more is due; what is due is sent, and what is under way arrives, or fails here and now."""
        if self._is_over:
            return
        for part in self.parts:
            part.settle()
        for pace in self._paces:
            pace.end()
        wait_until(self.is_idle, timeout_s=self.drain_s)
        self._is_over = True
        for part in self.parts:
            part.is_over = True
        self._account()

    def _is_done(self) -> bool:
        """Whether all schedules have ended, and all that they asked for."""
        return bool(self._paces) and all(pace.has_ended for pace in self._paces) and self.is_idle()

    def is_idle(self) -> bool:
        """Whether all that is due was sent and has arrived."""
        return self.part.sent >= self._due() and not self.part.backlog

    def _account(self) -> None:
        """What has not come by now failed."""
        stats = self.load.environment.stats
        unsent, missing = self.part.counts()["due"] - self.part.sent, self.part.backlog
        Row(stats, method=self.kinds[0], name=self.title, size=0).fail(unsent, "not sent in time")
        Row(stats, method=self.kinds[-1], name=self.title, size=0).fail(missing, "did not come in time")

    def close(self) -> None:
        """Stop the consumers, remove what was made."""
        self._is_over = True
        self._consumers.kill(timeout=_END_TIMEOUT_S)
        made, self._made = self._made, []
        if not made:
            return
        with contextlib.suppress(AMQPError, OSError), contextlib.closing(connect(self.url, self.name)) as connection:
            channel = connection.channel()
            for kind, name in reversed(made):
                (channel.queue_delete if kind == "queue" else channel.exchange_delete)(name)

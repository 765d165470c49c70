"""What a run does, said once: frozen, checked, and handed to its processes as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from loadtest.engine import stamps
from loadtest.engine.schedule import Arrivals, Bursts, Constant, Profile, Ramp, Sine, Steps, Times, replay, times

Client = Literal["engine", "pika", "aio-pika"]
QueueType = Literal["classic", "quorum", "stream"]
Work = Literal["constant", "exponential"]
Shape = Literal["constant", "steps", "ramp", "sine", "bursts", "replay"]

#: A consumer that is told to stop does its message to the end, and nobody waits for ever.
MOST_WORK_MS = 10_000


class PlanError(Exception):
    """A run that can't be; the text says what is wrong and what would do."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run of the engine.

    Args:
        rate: messages per second that are offered, over all producers; None: as fast as the window allows.
        shape: how the rate moves: constant; steps, ramp, sine and bursts around `rate`; or a recorded trace.
        arrivals: how single messages fall: evenly, or at random with a seed.
        trace: a file for the shape `replay`: one number of seconds a line.
        duration_s: seconds of load; the first `warmup_s` of them are left out of all latencies.
        size: of a body, in bytes.
        persistent: whether the broker writes messages to disk.
        queue_type: of the queues, which are durable.
        queues: how many there are; producers and consumers are dealt out over them.
        producers, consumers: processes.
        window: most messages of a producer without a confirm; 0: no confirms at all.
        prefetch: most messages of a consumer without an ack.
        ack_every: messages that one ack stands for; at most as many as the prefetch allows.
        work_ms: time that a consumer takes for each message before it acknowledges it, on average; it sleeps.
        work: whether every message takes that long, or the time is random with a seed.
        shared_ms: of that time, what is spent under a lock that all consumers share: one at a time.
        drain_s: seconds that the broker has, after the load, to deliver what is left.
        seed: of everything random.
        client: what publishes and consumes.
        mandatory: whether the broker returns what it can't route.
    """

    rate: float | None = 1000.0
    shape: Shape = "constant"
    arrivals: Arrivals = "uniform"
    trace: str | None = None
    duration_s: float = 10.0
    warmup_s: float = 2.0
    size: int = 1000
    persistent: bool = True
    queue_type: QueueType = "classic"
    queues: int = 1
    producers: int = 1
    consumers: int = 1
    window: int = 300
    prefetch: int = 2000
    ack_every: int = 100
    work_ms: float = 0.0
    work: Work = "constant"
    shared_ms: float = 0.0
    drain_s: float = 30.0
    seed: int = 0
    client: Client = "engine"
    mandatory: bool = True

    def __post_init__(self) -> None:
        for wrong, why in self._problems():
            if wrong:
                raise PlanError(why)
        # A consumer that waited for more would wait for ever: whoever lowers the one need not know of the other.
        object.__setattr__(self, "ack_every", min(self.ack_every, self.prefetch))

    def _problems(self) -> list[tuple[bool, str]]:
        return [
            (self.rate is not None and self.rate <= 0, "the rate must be more than zero; full speed is --rate max"),
            (self.rate is None and self.shape != "constant", f"the shape {self.shape} needs a rate"),
            (self.duration_s <= 0, "the duration must be more than zero seconds"),
            (not 0 <= self.warmup_s < self.duration_s, "the warm-up must be shorter than the run"),
            (self.size < stamps.SIZE, f"a message has {stamps.SIZE} bytes at least: the stamp by which it is known"),
            (self.size > 512 * 2**20, "a message has 512 MiB at most"),
            (self.queues < 1, "there must be a queue"),
            (self.producers < 1, "there must be a producer"),
            (self.consumers < 0, "the number of consumers can't be negative"),
            (self.window < 0, "the confirm window can't be negative"),
            (self.window == 0 and self.rate is None, "full speed without confirms would fill the broker, not test it"),
            (not 1 <= self.prefetch <= 65535, "the prefetch is from 1 to 65535"),
            (self.queue_type == "quorum" and self.prefetch > 2000, "quorum queues allow a prefetch of 2000 at most"),
            (self.ack_every < 1, "an ack stands for a message at least"),
            *self._problems_of_work(),
            (self.shape == "replay" and self.trace is None, "the shape replay needs a trace"),
        ]

    def _problems_of_work(self) -> list[tuple[bool, str]]:
        works = self.work_ms > 0
        return [
            (not 0 <= self.work_ms <= MOST_WORK_MS, f"the work for a message is from 0 to {MOST_WORK_MS:,} ms"),
            (not 0 <= self.shared_ms <= self.work_ms, "the time under the shared lock is a part of the work's"),
            (
                works and self.rate is None,
                "full speed would only pile messages up before consumers that work: give a rate",
            ),
            (works and self.client != "engine", "consumers that work are the engine's own: choose the client engine"),
            (
                works and self.queue_type == "stream",
                "every consumer of a stream gets all of it: work needs another queue",
            ),
        ]

    @property
    def in_flight(self) -> int:
        """Most messages of a producer that wait for a confirm: pika's `BlockingChannel` waits for each."""
        return min(self.window, 1) if self.client == "pika" else self.window

    def moments(self) -> Times | None:
        """When each message is meant to go, in ns since the start; None for full speed.

        Raises:
            PlanError: the trace can't be read.
        """
        if self.shape == "replay":
            try:
                recorded = replay(Path(str(self.trace)))
            except ValueError as error:
                raise PlanError(str(error)) from error
            return recorded[recorded <= self.duration_s * 1e9]
        if self.rate is None:
            return None
        return times(self.profile(), duration_s=self.duration_s, arrivals=self.arrivals, seed=self.seed)

    def profile(self) -> Profile:
        """How the rate moves; not for full speed, nor for a trace."""
        assert self.rate is not None
        rate = self.rate
        shapes: dict[str, Profile] = {
            "constant": Constant(rate),
            "steps": Steps([rate * share for share in (0.5, 0.75, 1.0, 0.75, 0.5)]),
            "ramp": Ramp(0, rate),
            "sine": Sine(rate, swing=0.6, period_s=max(2.0, self.duration_s / 3)),
            "bursts": Bursts(rate * 0.5, size=max(1, round(rate * 0.5)), every_s=1.0),
        }
        return shapes[self.shape]

    def with_(self, **changes: Any) -> Plan:
        """The same with some changes."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one process of a run does.

    Args:
        url: the broker.
        run: number of the run, in every message.
        number: of this process among its kind.
        queues: those that it serves.
        results: file in which it leaves its books.
    """

    plan: Plan
    url: str = field(repr=False)
    run: int
    number: int
    queues: tuple[str, ...]
    results: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Task:
        return cls(**{**told, "plan": Plan(**told["plan"]), "queues": tuple(told["queues"])})


def dealt(queues: list[str], *, number: int, of: int) -> tuple[str, ...]:
    """The queues that process `number` of `of` serves, so that every queue is served and every process has one."""
    return tuple(queues[number::of]) or (queues[number % len(queues)],)

"""What an exercise's trial works with: the bench, the learner's file, a seed, and a voice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from labs.broker import Management
from labs.errors import LabError
from labs.processes import Progress, wait_until
from labs.trial import operations as op
from labs.trial.bench import Bench

#: For what a program that is right does within a moment; the trial goes on without it.
_SOON_S = 5.0
_START_S = 20.0


class ProgramFailed(LabError):
    """The learner's program did not do what the trial begins with; the text says what was seen instead."""


@dataclass(frozen=True)
class Stage:
    """One run of one exercise."""

    bench: Bench
    management: Management
    vhost: str
    file: Path
    random: random.Random
    say: Progress
    _broken: list[str] = field(default_factory=list)

    def start(self, *names: str) -> None:
        """Start the learner's program under each name, its addresses in its environment; they have connected then."""
        before = {name: self.bench.times(op.CONNECT, process=name) for name in names}
        for name in names:
            environment = {
                "AMQP_URL": self.bench.url(name),
                "DATABASE_URL": self.bench.database_url,
                "NAME": name,
                "PYTHONUNBUFFERED": "1",
            }
            self.bench.start(name, [self.file], environment=environment, cwd=self.file.parent)

        def connected(name: str) -> bool:
            gone = self.bench.processes[name].poll() is not None
            return gone or self.bench.times(op.CONNECT, process=name) > before[name]

        self.until(lambda: all(map(connected, names)), timeout_s=_START_S)

    def until(self, condition: Callable[[], bool], *, timeout_s: float = _SOON_S) -> bool:
        """Wait for it; a program that ends by itself before anything was broken ends the trial.

        Raises:
            ProgramFailed: it did.
        """
        wait_until(lambda: condition() or self._failed(), timeout_s=timeout_s, every_s=0.01)
        self._check()
        return condition()

    def ready(self, queue: str, *, consumers: int) -> None:
        """Wait until a queue has its consumers."""
        self.until(lambda: self.bench.depth(queue).consumers >= consumers)

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What the block breaks and mends, said aloud."""
        self._check()
        self._broken.append(name)
        self.say(f"fault: {name}")
        with self.bench.fault(name):
            yield

    def kill(self, name: str, *, after: str, times: int) -> None:
        """SIGKILL, when the tap has seen a program do something so often."""
        self.until(lambda: self.bench.times(after, process=name) >= times)
        with self.fault(f"{name} is killed"):
            self.bench.kill(name)

    def close_connections(self, *names: str) -> None:
        """An operator closes the connections of programs."""

        def found() -> list[str]:
            return [each.name for each in self.management.connections(self.vhost) if each.title in names]

        wait_until(lambda: len(found()) >= len(names), timeout_s=_START_S, every_s=0.2)  # its figures come now and then
        with self.fault(f"an operator closes the connections of {' and '.join(names)}"):
            closing = found()
            if len(closing) < len(names):
                raise LabError(f"the broker did not name the connections of {' and '.join(names)}: nothing was closed")
            for name in closing:
                self.management.close_connection(name, reason="closed by the trial")

            def gone() -> bool:
                return not {each.name for each in self.management.connections(self.vhost)} & set(closing)

            if not wait_until(gone, timeout_s=_START_S, every_s=0.2):
                raise LabError(f"the connections of {' and '.join(names)} were not closed")

    def finish(self, all_done: Callable[[], bool], *, queues: Sequence[str] = ()) -> None:
        """Drain, and write down what is left of programs and queues."""
        self.say("drain: what is left is being done")
        done = self.bench.drain(all_done)
        self.say("all is done" if done else "nothing moves any more, and something is left")
        for name, words in self.bench.ended().items():
            self.bench.history.add(name, "info", op.EXIT, error=words.splitlines()[-1] if words else "")
        self.bench.at_rest(queues)

    def _failed(self) -> bool:
        return not self._broken and bool(self.bench.ended())

    def _check(self) -> None:
        if self._failed():
            said = "\n".join(dict.fromkeys(self.bench.ended().values()))
            raise ProgramFailed(f"it ended by itself, before anything was broken. The last that it said:\n{said}")

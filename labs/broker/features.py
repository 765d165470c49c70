"""What a RabbitMQ of a given version can do, as far as this lab meets the difference: 3.10 to 4.3."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """Something that some versions do and others don't.

    Args:
        name: in the broker's own words.
        meaning: for someone who builds on it.
        since: the first version that has it; None: all that the lab supports.
        until: the first version that no longer has it; None: none yet.
    """

    name: str
    meaning: str
    since: tuple[int, ...] | None = None
    until: tuple[int, ...] | None = None

    def is_in(self, version: tuple[int, ...]) -> bool:
        """Whether a broker of that version has it."""
        return (self.since is None or version >= self.since) and (self.until is None or version < self.until)

    @property
    def versions(self) -> str:
        """Which versions have it, in words."""
        if self.until is not None:
            return f"before {_text(self.until)}"
        return f"since {_text(self.since)}" if self.since is not None else "3.10 to 4.3"


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


FEATURES = (
    Feature("quorum queues", "replicated and durable: what the lab uses for work"),
    Feature("at-least-once dead-lettering", "a quorum queue's dead letters survive a broker crash on the way"),
    Feature("streams", "a log that many read at their own pace"),
    Feature("consumer timeout per queue", "how long a message may stay unacknowledged", since=(3, 12)),
    Feature(
        "delivery limit of 20 by default",
        "a message that keeps killing its consumer is dropped or dead-lettered",
        since=(4, 0),
    ),
    Feature("mirrored classic queues", "the old way to replicate", until=(4, 0)),
    Feature("AMQP 1.0 in the core", "a second protocol without a plugin", since=(4, 0)),
    Feature("Khepri by default", "metadata in a Raft log; Mnesia, which it replaces, is gone in 4.3", since=(4, 2)),
    Feature("delayed retry", "a quorum queue holds a rejected message back by itself", since=(4, 3)),
)

"""When a failed delivery is tried again, and where it waits until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labs.messaging.topology import retry_queue


@dataclass(frozen=True)
class RetryPolicy:
    """Waits before the second, third, ... attempt. With (1000, 2000, 4000) a message is tried four times.

    A wait is a queue (`topology.work_queue` declares one for each), so a policy can only wait what
    it lists: what asks for another wait gets the shortest listed one that is long enough, or the longest.
    """

    delays_ms: Sequence[int]

    @property
    def attempts(self) -> int:
        """How often a message is tried before it is given up."""
        return len(self.delays_ms) + 1

    def delay_ms(self, attempt: int, *, at_least_s: float | None = None) -> int | None:
        """Milliseconds to wait after the given attempt failed; None when attempts are used up.

        Args:
            attempt: the attempt that failed, from 1.
            at_least_s: seconds that the other side asked for (Retry-After), if it did.
        """
        if attempt > len(self.delays_ms):
            return None
        planned = self.delays_ms[attempt - 1]
        return self.listed(max(planned, (at_least_s or 0) * 1000))

    def listed(self, wanted_ms: float) -> int:
        """The shortest listed delay of at least `wanted_ms`, or the longest there is."""
        long_enough = [delay for delay in self.delays_ms if delay >= wanted_ms]
        return min(long_enough) if long_enough else max(self.delays_ms)

    def queue(self, name: str, delay_ms: int) -> str:
        """Where a message of queue `name` waits that long."""
        return retry_queue(name, delay_ms)

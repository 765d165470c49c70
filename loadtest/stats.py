"""Feeds Locust's statistics in bulk: whatever the rate, its totals are the engine's to the last message."""

from __future__ import annotations

import time

from locust.stats import RequestStats, StatsEntry, StatsError, bucket_response_time

from loadtest.engine.histogram import Histogram


class Row:
    """One row of Locust's table, fed with totals that grow.

    Messages that a histogram leaves out, those of the warm-up, count as requests without a response time.
    """

    def __init__(self, stats: RequestStats, *, method: str, name: str, size: int) -> None:
        self._stats, self._method, self._name, self._size = stats, method, name, size
        self.requests = self.failures = 0
        self._timed = Histogram()

    def update(self, requests: int, timed: Histogram) -> None:
        """What there is by now, in all; Locust gets what is new."""
        gained = self._entry(requests - self.requests)
        gained.num_none_requests = gained.num_requests - (timed.count - self._timed.count)
        gained.total_response_time = (timed.total_ns - self._timed.total_ns) / 1e6  # type: ignore[assignment]
        if timed.count:
            gained.min_response_time = timed.least_ns / 1e6  # type: ignore[assignment]
            gained.max_response_time = timed.most_ns / 1e6  # type: ignore[assignment]
        gained.response_times = _bucketed(timed, since=self._timed)
        self.requests, self._timed = requests, timed
        self._extend(gained)

    def fail(self, count: int, why: str) -> None:
        """So many further requests failed, and have no response time."""
        if count <= 0:
            return
        gained = self._entry(count)
        gained.num_none_requests = gained.num_failures = count
        gained.num_fail_per_sec = {int(time.time()): count}
        self.requests += count
        self.failures += count
        self._extend(gained)
        key = StatsError.create_key(self._method, self._name, why)
        error = self._stats.errors.setdefault(key, StatsError(self._method, self._name, why))
        error.occurred()
        error.occurrences += count - 1

    def _entry(self, requests: int) -> StatsEntry:
        gained = StatsEntry(self._stats, self._name, self._method)
        gained.num_requests = requests
        gained.total_content_length = requests * self._size
        gained.last_request_timestamp = time.time()
        gained.num_reqs_per_sec = {int(gained.last_request_timestamp): requests}
        return gained

    def _extend(self, gained: StatsEntry) -> None:
        if gained.num_requests:
            self._stats.entries[(self._name, self._method)].extend(gained)
            self._stats.total.extend(gained)


def _bucketed(timed: Histogram, *, since: Histogram) -> dict[int, int]:
    """What a histogram has gained, in Locust's own coarse buckets of milliseconds."""
    gained = Histogram(counts=timed.counts - since.counts)
    found: dict[int, int] = {}
    for middle_ms, count in zip(*(each.tolist() for each in gained.edges_ms()), strict=True):
        bucket = bucket_response_time(middle_ms)
        found[bucket] = found.get(bucket, 0) + count
    return found

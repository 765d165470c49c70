"""Little's law as a check from outside: what the broker holds on average is what comes in, times how long it stays.

The left side is what the broker's management API has said while the run lasted, the right side what our own clocks
have measured. Where they disagree one of them is wrong, and the run should not be believed before it is known which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from loadtest.engine.result import Result

#: The broker's figures are snapshots, a second old or five: so much apart is no disagreement.
_SHARE = 0.35
_MESSAGES = 50.0
#: Standard errors of a mean of few samples that are still chance.
_ERRORS = 3.0
_LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Little:
    """Messages in the broker, by its own count and by rate times time.

    Args:
        sampled: mean of ready and unacknowledged messages that the broker has told of.
        expected: rate of delivery, times mean time from sending to receiving, plus those that wait for their ack.
        samples: how many the first is a mean of.
        agrees: whether the two are as near to each other as such samples can be.
    """

    sampled: float
    expected: float
    samples: int
    agrees: bool


def little_of(result: Result, broker: pd.DataFrame) -> Little | None:
    """The check of one run; None if there are too few samples, nothing consumes, or a stream keeps everything."""
    start_s, end_s = result.span_s
    during = broker[(broker["at_s"] >= start_s) & (broker["at_s"] <= end_s)]
    waited_ms = result.histograms["from_sent"].mean_ms
    plan = result.plan
    if len(during) < _LEAST_SAMPLES or not plan.consumers or plan.queue_type == "stream" or math.isnan(waited_ms):
        return None
    during_messages = during["messages_ready"] + during["messages_unacknowledged"]
    sampled = float(during_messages.mean())
    # A consumer acknowledges every so many at once: on average half of them are received and not yet acknowledged.
    held = (plan.ack_every - 1) / 2 * max(plan.consumers, plan.queues)
    expected = float(result.rate("received") * waited_ms / 1000 + held)
    error = float(during_messages.sem()) * _ERRORS
    allowed = max(_SHARE * max(sampled, expected), _MESSAGES, held) + error
    return Little(sampled, expected, len(during), abs(sampled - expected) <= allowed)

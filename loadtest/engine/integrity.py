"""What became of the messages of a run, all books compared: in the words of the checkers of distributed systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.engine.ledger import Outcome

#: By producer.
SentBooks = Mapping[int, Mapping[str, NDArray[Any]]]
ReceivedBooks = Mapping[int, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """Counts of messages.

    Args:
        offered: what the schedule asked for.
        unsent: of these, never sent: the broker took too long for it.
        sent: written to the broker.
        confirmed, nacked, returned: what the broker answered.
        unconfirmed: no answer came: it may have the message or not.
        delivered: came at least once.
        lost: confirmed and never delivered, nor left in a queue.
        duplicated: deliveries beyond the first of a message.
        recovered: delivered though unconfirmed.
        unexpected: deliveries of messages that were never sent.
        corrupt: changed on the way. foreign: not one of ours. strange: of another run.
        out_of_order: came after a later message, on the same connection and queue.
        redelivered: marked so by the broker.
        left: in the queues at the end; of a stream that was not read to its end, what was confirmed and not read.
    """

    offered: int
    unsent: int
    sent: int
    confirmed: int
    nacked: int
    returned: int
    unconfirmed: int
    delivered: int
    lost: int
    duplicated: int
    recovered: int
    unexpected: int
    corrupt: int = 0
    foreign: int = 0
    strange: int = 0
    out_of_order: int = 0
    redelivered: int = 0
    left: int = 0

    @property
    def is_whole(self) -> bool:
        """Nothing lost, nothing changed, nothing that shouldn't be there."""
        return not (self.lost or self.corrupt or self.foreign or self.unexpected or self.strange)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def compare(
    sent: SentBooks, received: ReceivedBooks, *, offered: int, left: int | None, confirms: bool, **counted: int
) -> Integrity:
    """Compare what was sent with what came.

    Args:
        sent: `outcome` of each message, by producer.
        received: how often each message came, by producer.
        offered: what the schedule asked for.
        left: messages in the queues at the end: those are late, not lost. None: it is known that reading had not come
            to its end, but not how many are left: then it is all that is missing.
        confirms: whether the broker was asked for any.
        counted: what consumers have counted: corrupt, foreign, strange, out_of_order, redelivered.
    """
    outcomes = np.zeros(len(Outcome), np.int64)
    totals = dict.fromkeys(("delivered", "missing", "duplicated", "recovered", "unexpected"), 0)
    for producer, books in sent.items():
        outcome = books["outcome"]
        outcomes += np.bincount(outcome, minlength=len(Outcome))
        for name, count in _of_producer(outcome, received.get(producer), confirms=confirms).items():
            totals[name] += count
    strangers = [times for producer, times in received.items() if producer not in sent]
    totals["unexpected"] += sum(int(times.sum()) for times in strangers)
    missing = totals.pop("missing")
    left = missing if left is None else left
    total = int(outcomes.sum())
    return Integrity(
        offered=offered,
        unsent=offered - total,
        sent=total,
        confirmed=int(outcomes[Outcome.CONFIRMED]),
        nacked=int(outcomes[Outcome.NACKED]),
        returned=int(outcomes[Outcome.RETURNED]),
        unconfirmed=int(outcomes[Outcome.NONE]),
        lost=max(0, missing - left),
        left=left,
        **totals,
        **counted,
    )


def _of_producer(outcome: NDArray[Any], times: NDArray[Any] | None, *, confirms: bool) -> dict[str, int]:
    came = np.zeros(len(outcome), np.int64)
    beyond = 0
    if times is not None:
        came[: len(times)] = times[: len(came)]
        beyond = int(times[len(came) :].sum())
    # Without confirms the broker has promised nothing, and we count what it should have taken.
    promised = outcome == (Outcome.CONFIRMED if confirms else Outcome.NONE)
    return {
        "delivered": int(np.count_nonzero(came)),
        "missing": int(np.count_nonzero(promised & (came == 0))),
        "duplicated": int(np.maximum(came - 1, 0).sum()),
        "recovered": int(np.count_nonzero((outcome == Outcome.NONE) & (came > 0))) if confirms else 0,
        "unexpected": beyond,
    }

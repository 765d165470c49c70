"""What clients and servers count."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RpcClientStatistics:
    """Counts since the start; each call ends as one of the first five."""

    replied: int = 0
    #: Answered with an error.
    failed: int = 0
    #: There is no such queue.
    unroutable: int = 0
    #: No reply: timed out, the connection was lost, or the caller was cancelled.
    unanswered: int = 0
    #: There was no connection to send it on.
    unsent: int = 0
    #: Replies that were dropped: after their call was given up; after its first reply; to no call of ours.
    late: int = 0
    duplicate: int = 0
    unknown: int = 0
    connects: int = 0


@dataclass
class RpcServerStatistics:
    """Counts since the start."""

    delivered: int = 0
    replied: int = 0
    #: Answered with an error: the handler's own, an unexpected one, or because the request can't be read.
    failed: int = 0
    #: Dropped: the request doesn't say where to answer.
    unanswerable: int = 0
    requeued: int = 0
    #: Handled, but the channel was gone before the reply: the broker delivers the request again.
    orphaned: int = 0
    connects: int = 0

"""The operations of a history: the words that who writes it and who checks it share, each said once."""

from __future__ import annotations

from dataclasses import dataclass, field

#: A client asks for something. `request`: its own key; `job`, once accepted; `value`: what the result must speak of.
SUBMIT = "submit"

# Seen on the wire, between the programs and the broker
#: A program opens a connection.
CONNECT = "connect"
#: A persistent message. `value`: the routing key. ok: confirmed; fail: returned or nacked; info: neither was seen.
PUBLISH = "publish"
#: `value`: "redelivered" or nothing.
DELIVER = "deliver"
#: The consumer's last word on a delivery; with no_ack that of the broker, at once. `value`: ack, nack or reject.
SETTLE = "settle"
#: The most unconfirmed publishes of a channel (`count`), or unacknowledged deliveries.
UNCONFIRMED = "unconfirmed"
UNACKNOWLEDGED = "unacknowledged"

# Read from the database, with the time of the transaction
#: What a request has made. `request`, `job`.
ROW = "row"
#: A message in the outbox. `job`; `value`: REQUEST, or END if it tells of the job's end; `queue`: its consumers.
OUTBOX = "outbox"
#: The outbox says that the message was published.
MARK = "mark"
#: A step of a job; `value`: which, `attempt`: of the claim.
STATUS = "status"
#: An effect of a message was committed by the consumer of `queue`; `value`: done or dead.
EFFECT = "effect"
#: How many effects the consumer of `queue` has had as its own table has it, whatever it says of messages; `count`.
TALLY = "tally"
#: The result of a job; `value`: what it speaks of.
RESULT = "result"

#: A version of a thing. `job`: the thing; `count`: the version. invoke: an event told of it; ok: it was written.
VERSION = "version"

#: A call over the broker. `request`: its correlation id, `message`: the question's id. invoke: `value` is the answer
#: that is due; ok: the one that came; info: none came in time.
ASK = "ask"

#: The model's own ledger, a call's end after its beginning. `job`: who asked; `error`: what came instead of an answer.
CALL = "call"

# Of the broker as a whole, after healing. `queue`; `count`: messages, or consumers.
DEPTH = "depth"
CONSUMERS = "consumers"

#: The resident memory of a process, looked at now and then. `count`: MiB.
MEMORY = "memory"

#: A process was told to end (SIGTERM); ok: it did by itself, fail: it had to be killed.
TERMINATE = "terminate"
#: SIGKILL. `value`: the process.
KILL = "kill"
#: A process ended, and nobody had told it to. `error`: its last words.
EXIT = "exit"
#: `value`: its name. invoke: it begins; info: it is seen from outside (`error`: the proof); ok: healed; fail: it isn't.
FAULT = "fault"
#: `value`: which. Of DRAIN, ok: all is done; fail: something is left, and nothing moves; info: not finished in time.
PHASE = "phase"
DRAIN = "drain"

REQUEST, END = "request", "end"

DONE, DEAD = "done", "dead"
ACK = "ack"
REDELIVERED = "redelivered"

PENDING, PROCESSING = "pending", "processing"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED})


@dataclass(frozen=True, kw_only=True)
class Promises:
    """What a system promises, as far as it has numbers.

    Args:
        queues: those whose every message has an effect that the database records.
        jobs: whether it has jobs with statuses, and tells of their ends.
        asks_model: whether a job is done only with an answer of the model.
        retry_delays_ms: waits between attempts; there is one attempt more than waits.
        grace_s: seconds a worker may take to end.
        unconfirmed: most publishes of a channel under way at once.
        prefetch: most deliveries that a channel holds at once.
        consumers: how many each queue had before the faults.
        ends_within_s: seconds from the last healing, or its acceptance if that came later, to a job's end.
        memory_mib: most resident memory of a process.
    """

    queues: tuple[str, ...]
    jobs: bool = True
    asks_model: bool = False
    retry_delays_ms: tuple[int, ...] = (1000, 2000, 4000)
    grace_s: float = 20.0
    unconfirmed: int = 1000
    prefetch: int = 500
    consumers: dict[str, int] = field(default_factory=dict)
    ends_within_s: float = 300.0
    memory_mib: int = 600

    @property
    def attempts(self) -> int:
        """Of a message, at most."""
        return len(self.retry_delays_ms) + 1

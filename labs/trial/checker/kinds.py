"""What can be wrong: each anomaly named, explained in one sentence, and with one question to think about."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Anomaly(enum.StrEnum):
    """The kinds of anomalies, gravest first."""

    LOST = "lost"
    UNEXPECTED = "unexpected"
    GONE = "accepted and gone"
    NEVER_PUBLISHED = "never published"
    NO_EFFECT = "message without effect"
    NO_END = "job without end"
    UNANSWERED = "call without answer"
    VERSION_MISSING = "newest version missing"
    MISDIRECTED = "effect at a stranger"
    DONE_TWICE = "done twice"
    TWO_JOBS = "two jobs of one request"
    TWO_RESULTS = "two committed results"
    TWO_AT_ONCE = "two workers at once"
    TWO_EVENTS = "two completion events"
    END_WITHOUT_EVENT = "end without event"
    ROW_WITHOUT_MESSAGE = "row without message"
    MESSAGE_WITHOUT_ROW = "message without row"
    ACK_BEFORE_COMMIT = "ack before commit"
    MARKED_BEFORE_CONFIRM = "marked before confirm"
    MARKED_AFTER_RETURN = "marked after return"
    STATUS_BACKWARDS = "status backwards"
    VERSION_BACKWARDS = "version backwards"
    FOREIGN_RESULT = "result of another prompt"
    FOREIGN_ANSWER = "answer to another question"
    RESULT_WITHOUT_CALL = "result without call"
    TOO_MANY_ATTEMPTS = "too many attempts"
    ATTEMPT_SKIPPED = "attempt skipped"
    RETRY_TOO_EARLY = "retry too early"
    QUEUE_NOT_EMPTY = "queue not empty"
    CONSUMER_NOT_BACK = "consumer not back"
    ENDED_LATE = "ended too late"
    SIGTERM_BEYOND_GRACE = "SIGTERM beyond grace"
    WINDOW_EXCEEDED = "window exceeded"
    MEMORY_EXCEEDED = "memory exceeded"


HINTS: dict[Anomaly, str] = {
    Anomaly.LOST: "The broker confirmed it and nobody ever got it. A confirm says that the broker is responsible, not "
    "that a queue took the message: does your publisher set `mandatory`, and is the queue durable?",
    Anomaly.UNEXPECTED: "Nobody asked for it. Where could a consumer get a message that was never published?",
    Anomaly.GONE: "The client was told that it is accepted, and no row was made: is the answer sent before the commit?",
    Anomaly.NEVER_PUBLISHED: "It lies in the outbox, and nobody published it. Does your relay remember the last id "
    "that it saw? A row has its id before its commit, so one that commits late comes below that.",
    Anomaly.NO_EFFECT: "Its consumer never committed an effect. When does your consumer ack, and who publishes again "
    "what was lost with a queue?",
    Anomaly.NO_END: "It was accepted and never ended. Who takes a job over when its worker dies?",
    Anomaly.UNANSWERED: "Its caller waited in vain. When does your server ack, and does each answer go to `reply_to` "
    "with the question's `correlation_id`?",
    Anomaly.VERSION_MISSING: "The newest version never arrived. When does your consumer ack, and what does it do with "
    "an event that comes before its predecessors?",
    Anomaly.MISDIRECTED: "It had an effect at somebody for whom it is not. What is that queue bound with?",
    Anomaly.DONE_TWICE: "At-least-once means that a message may come twice. What tells your consumer that it has "
    "had this one, and is that written in the effect's own transaction?",
    Anomaly.TWO_JOBS: "A client that got no answer asked again with the same key, and there are two jobs. What makes a "
    "key unique in your database?",
    Anomaly.TWO_RESULTS: "Two workers committed a result. Is the commit bound to the claim's fence?",
    Anomaly.TWO_AT_ONCE: "Two workers asked the model for one job at the same time, and paid twice. Is the lease "
    "longer than the work, or renewed while it runs?",
    Anomaly.TWO_EVENTS: "The end was told twice. Is the event written in the transaction that ends the job?",
    Anomaly.END_WITHOUT_EVENT: "The job ended and nobody was told. Is the event written in the transaction of the end?",
    Anomaly.ROW_WITHOUT_MESSAGE: "A job without its message is never worked on. Are both in one transaction?",
    Anomaly.MESSAGE_WITHOUT_ROW: "A message tells of a job that doesn't exist. Are both in one transaction?",
    Anomaly.ACK_BEFORE_COMMIT: "The broker forgets a message when it is acked. What if the process dies between the "
    "ack and the commit: when does your consumer ack?",
    Anomaly.MARKED_BEFORE_CONFIRM: "It counts as published though the broker had not confirmed it. Does your publisher "
    "wait for the confirm?",
    Anomaly.MARKED_AFTER_RETURN: "The broker gave it back, since no queue is bound for it, and then acked. Does your "
    "publisher look at what is returned?",
    Anomaly.STATUS_BACKWARDS: "A status went back, or changed after the end. Does each change say from which status?",
    Anomaly.VERSION_BACKWARDS: "An older version was written over a newer one, since events come late and twice. Does "
    "the statement that writes a version compare it with the one that is there?",
    Anomaly.FOREIGN_ANSWER: "The caller got the answer to another question. Where does your server take the "
    "`correlation_id` of an answer from?",
    Anomaly.FOREIGN_RESULT: "The result speaks of another request. What do two jobs of one worker share?",
    Anomaly.RESULT_WITHOUT_CALL: "The model was never asked for it. Where does the result come from?",
    Anomaly.TOO_MANY_ATTEMPTS: "It came back more often than promised. What counts the attempts, and what happens "
    "after the last one?",
    Anomaly.ATTEMPT_SKIPPED: "Attempts must be counted one by one. Who counts, and is the count carried along?",
    Anomaly.RETRY_TOO_EARLY: "The next attempt came before its delay was over. What makes the message wait?",
    Anomaly.QUEUE_NOT_EMPTY: "Everything has healed, and messages still lie there. Who should take or ack them?",
    Anomaly.CONSUMER_NOT_BACK: "Everything has healed, and the queue has fewer consumers than before. What does your "
    "consumer do when its channel is closed, or when the broker cancels it?",
    Anomaly.ENDED_LATE: "It ended long after all had healed. Who finds what was left behind, and how often does he "
    "look?",
    Anomaly.SIGTERM_BEYOND_GRACE: "It did not end in time. Does it stop taking messages at SIGTERM, and give back what "
    "it can't finish?",
    Anomaly.WINDOW_EXCEEDED: "More was under way at once than promised. What stops the publisher, or the broker "
    "(prefetch), when the other side is slow?",
    Anomaly.MEMORY_EXCEEDED: "A process took more memory than promised. What does it keep of each message, and who "
    "stops it from taking more?",
}

#: What more time could have mended: found only where the drain came to its end.
NEEDS_REST = frozenset(
    {
        Anomaly.LOST,
        Anomaly.NEVER_PUBLISHED,
        Anomaly.NO_EFFECT,
        Anomaly.NO_END,
        Anomaly.UNANSWERED,
        Anomaly.VERSION_MISSING,
        Anomaly.QUEUE_NOT_EMPTY,
        Anomaly.CONSUMER_NOT_BACK,
        Anomaly.END_WITHOUT_EVENT,
    }
)


@dataclass(frozen=True)
class Finding:
    """One anomaly: of what, when it showed (monotonic ns), and what was seen, in a sentence's end."""

    anomaly: Anomaly
    at_ns: int
    text: str
    job: str = ""
    message: str = ""
    queue: str = ""

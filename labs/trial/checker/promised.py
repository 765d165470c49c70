"""What is promised, in words: one sentence for each anomaly, which is that promise broken."""

from __future__ import annotations

from labs.trial.checker.kinds import Anomaly

PROMISED: dict[Anomaly, str] = {
    Anomaly.LOST: "What the broker confirmed gets to a consumer",
    Anomaly.UNEXPECTED: "Nothing is delivered that nobody published",
    Anomaly.GONE: "What a client was told is accepted is in the database",
    Anomaly.NEVER_PUBLISHED: "What lies in the outbox is published",
    Anomaly.NO_EFFECT: "Every message has its effect",
    Anomaly.NO_END: "Every accepted job ends",
    Anomaly.ENDED_LATE: "It ends in bounded time after all has healed",
    Anomaly.DONE_TWICE: "A message that comes twice has one effect",
    Anomaly.TWO_JOBS: "A request that is repeated with its key makes one job",
    Anomaly.TWO_RESULTS: "A job has one committed result at most",
    Anomaly.TWO_EVENTS: "The end of a job is told once",
    Anomaly.END_WITHOUT_EVENT: "The end of a job is told",
    Anomaly.ROW_WITHOUT_MESSAGE: "A job has a message that asks for it",
    Anomaly.MESSAGE_WITHOUT_ROW: "A message that asks for a job has one",
    Anomaly.ACK_BEFORE_COMMIT: "A message is acknowledged after its effect is committed",
    Anomaly.MARKED_BEFORE_CONFIRM: "Only what the broker confirmed counts as published",
    Anomaly.MARKED_AFTER_RETURN: "What the broker returned doesn't count as published",
    Anomaly.STATUS_BACKWARDS: "A status goes forward only, and an end stays",
    Anomaly.FOREIGN_RESULT: "A result comes of its own request",
    Anomaly.RESULT_WITHOUT_CALL: "A result comes of a call to the model",
    Anomaly.TOO_MANY_ATTEMPTS: "There are as many attempts as promised and no more",
    Anomaly.ATTEMPT_SKIPPED: "Attempts are counted one by one",
    Anomaly.RETRY_TOO_EARLY: "The next attempt comes after its delay",
    Anomaly.TWO_AT_ONCE: "One worker at a time works on a job",
    Anomaly.MISDIRECTED: "A message has effects only where it was sent to",
    Anomaly.UNANSWERED: "Who calls gets an answer",
    Anomaly.FOREIGN_ANSWER: "An answer is that to the caller's own question",
    Anomaly.VERSION_BACKWARDS: "A version is never written over a newer one",
    Anomaly.VERSION_MISSING: "The newest version arrives",
    Anomaly.QUEUE_NOT_EMPTY: "In the end nothing lies in a queue",
    Anomaly.CONSUMER_NOT_BACK: "In the end every queue has its consumers again",
    Anomaly.SIGTERM_BEYOND_GRACE: "At SIGTERM a worker ends within its grace",
    Anomaly.WINDOW_EXCEEDED: "No more is under way at once than promised: unconfirmed, unacknowledged",
    Anomaly.MEMORY_EXCEEDED: "No process takes more memory than promised",
}

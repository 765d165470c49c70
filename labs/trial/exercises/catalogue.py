"""All exercises: which trial each must survive, what it promises, and what to ask whoever broke the promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labs.errors import LabError
from labs.trial.checker import Anomaly
from labs.trial.exercises.stage import Stage
from labs.trial.exercises.trials import calls, consumers, jobs, publishers, subscribers, versions
from labs.trial.operations import Promises

HERE = Path(__file__).parent


class NoExercise(LabError):
    """There is no exercise of that number; the text names those that there are."""


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise.

    Args:
        number: of its chapter.
        name: of its folder, after the number.
        title: what the program must survive, in a few words.
        trial: runs the program, breaks what is around it, and writes everything down.
        promises: of a program that is right.
        starter: what the starter is caught with.
        along: what else it may be caught with.
        questions: instead of the checker's own hints, where this chapter can ask better.
    """

    number: str
    name: str
    title: str
    trial: Callable[[Stage], None]
    promises: Promises
    starter: Anomaly
    along: frozenset[Anomaly] = frozenset()
    questions: Mapping[Anomaly, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """With `starter.py`, `solution.py`, `instructions.md` and `hints.md`."""
        return HERE / self.label

    @property
    def label(self) -> str:
        """Number and name."""
        return f"{self.number}_{self.name}"

    def text(self, name: str) -> str:
        """One of its files."""
        return (self.folder / name).read_text(encoding="utf-8")

    def hints(self) -> list[str]:
        """From a nudge to nearly the answer."""
        return [part.partition("\n")[2].strip() for part in ("\n" + self.text("hints.md")).split("\n## ")[1:]]


def _promises(*queues: str, consumers: int = 0, prefetch: int = 20) -> Promises:
    return Promises(
        queues=queues,
        jobs=False,
        retry_delays_ms=consumers_delays_ms,
        prefetch=prefetch,
        consumers=dict.fromkeys(queues, consumers) if consumers else {},
    )


consumers_delays_ms = consumers.DELAYS_MS
_RESTLESS = frozenset({Anomaly.NO_EFFECT, Anomaly.QUEUE_NOT_EMPTY, Anomaly.CONSUMER_NOT_BACK, Anomaly.LOST})
_RECONNECT = (
    "Its consumer was away: what does your program do when the broker closes its connection, and where do messages "
    "wait meanwhile?"
)

_ALL = (
    Exercise(
        number="01",
        name="work_queue",
        title="a worker is killed in the middle of a task",
        trial=consumers.work_queue,
        promises=_promises("work", consumers=2),
        starter=Anomaly.ACK_BEFORE_COMMIT,
        along=frozenset({Anomaly.NO_EFFECT, Anomaly.WINDOW_EXCEEDED}),
        questions={
            Anomaly.NO_EFFECT: "The broker forgets a message when it is acked, and its worker died before the task was "
            "done. When does your worker ack?"
        },
    ),
    Exercise(
        number="02",
        name="publish_subscribe",
        title="subscribers are cut off and killed while events go on",
        trial=subscribers.publish_subscribe,
        promises=_promises("events.mailer", "events.audit", consumers=1),
        starter=Anomaly.NO_EFFECT,
        along=_RESTLESS,
        questions=dict.fromkeys((Anomaly.LOST, Anomaly.NO_EFFECT, Anomaly.CONSUMER_NOT_BACK), _RECONNECT),
    ),
    Exercise(
        number="03",
        name="routing",
        title="some orders are for a region that nobody serves",
        trial=publishers.routing,
        promises=_promises(),
        starter=Anomaly.LOST,
        along=_RESTLESS,
        questions={
            Anomaly.LOST: "The broker confirmed it, and no queue was bound for it. Where does your exchange send what "
            "none of its bindings wants?"
        },
    ),
    Exercise(
        number="04",
        name="confirms",
        title="a queue is missing for a while, and the connection breaks",
        trial=publishers.confirms,
        promises=_promises(),
        starter=Anomaly.MARKED_BEFORE_CONFIRM,
        along=_RESTLESS | {Anomaly.NEVER_PUBLISHED},
        questions={
            Anomaly.NEVER_PUBLISHED: "Nobody published it any more. What does your program do when its connection is "
            "closed?",
            Anomaly.NO_EFFECT: "It never came into a queue. What does your program know when `basic_publish` returns, "
            "and what does it do when its connection is closed?",
        },
    ),
    Exercise(
        number="05",
        name="rpc",
        title="a server is killed, and clients ask again",
        trial=calls.rpc,
        promises=_promises("rpc.charge", consumers=2),
        starter=Anomaly.DONE_TWICE,
        along=frozenset({Anomaly.ACK_BEFORE_COMMIT, Anomaly.UNANSWERED, Anomaly.FOREIGN_ANSWER, Anomaly.NO_EFFECT}),
    ),
    Exercise(
        number="06",
        name="retries",
        title="some tasks fail once, some always, and a worker is killed",
        trial=consumers.retries,
        promises=_promises("work", consumers=1),
        starter=Anomaly.TOO_MANY_ATTEMPTS,
        along=_RESTLESS,
        questions=dict.fromkeys(
            (Anomaly.LOST, Anomaly.NO_EFFECT, Anomaly.TOO_MANY_ATTEMPTS),
            "It waits, or comes back, for ever: what fails goes round and round, and the rest waits behind it. Where "
            "does your worker put a task that failed, what counts its attempts, and what comes after the last one?",
        ),
    ),
    Exercise(
        number="07",
        name="idempotent_consumer",
        title="payments come twice, and a consumer is killed",
        trial=consumers.idempotent,
        promises=_promises("payments", consumers=2),
        starter=Anomaly.DONE_TWICE,
        along=frozenset({Anomaly.NO_EFFECT}),
    ),
    Exercise(
        number="08",
        name="outbox_relay",
        title="a relay is killed, a queue is missing, and a transaction commits late",
        trial=publishers.outbox,
        promises=_promises(),
        starter=Anomaly.MARKED_BEFORE_CONFIRM,
        along=_RESTLESS | {Anomaly.NEVER_PUBLISHED},
        questions={
            Anomaly.NEVER_PUBLISHED: "It was committed, and never published. Which rows does your relay look for, and "
            "which does it pass over for ever?",
            Anomaly.NO_EFFECT: "It was published, and never came into a queue. What does your relay know of a message "
            "when it marks its row?",
        },
    ),
    Exercise(
        number="09",
        name="cover_letter_worker",
        title="a worker is frozen until its lease has run out, another one is killed",
        trial=jobs.cover_letters,
        promises=_promises("letters", consumers=2),
        starter=Anomaly.TWO_RESULTS,
        along=frozenset({Anomaly.STATUS_BACKWARDS}),
    ),
    Exercise(
        number="12",
        name="failure_drills",
        title="the queue is deleted, and connections are closed",
        trial=consumers.failure_drills,
        promises=_promises("work", consumers=1),
        starter=Anomaly.CONSUMER_NOT_BACK,
        along=_RESTLESS,
        questions=dict.fromkeys(
            (Anomaly.LOST, Anomaly.NO_EFFECT, Anomaly.CONSUMER_NOT_BACK),
            "It waits in a queue that nobody consumes any more. What does your program do when the broker cancels its "
            "consumer, and what when its connection is closed?",
        ),
    ),
    Exercise(
        number="14",
        name="resumes",
        title="jobs are cancelled, some while a worker is busy with them",
        trial=jobs.resumes,
        promises=_promises("resumes", consumers=2),
        starter=Anomaly.STATUS_BACKWARDS,
        along=frozenset({Anomaly.TWO_RESULTS}),
        questions={
            Anomaly.STATUS_BACKWARDS: "The user had cancelled it, and your worker wrote over that. From which status "
            "may a job be begun, and from which may it be completed?"
        },
    ),
    Exercise(
        number="15",
        name="documents",
        title="versions come late and twice, and the indexer is killed",
        trial=versions.documents,
        promises=_promises(),
        starter=Anomaly.VERSION_BACKWARDS,
        along=frozenset({Anomaly.VERSION_MISSING}),
    ),
    Exercise(
        number="16",
        name="peers",
        title="each participant gets the changes of their own session alone, also those made while they were away",
        trial=subscribers.peers,
        promises=_promises("peers.ada", "peers.bob", "peers.eve", consumers=1),
        starter=Anomaly.MISDIRECTED,
        along=_RESTLESS,
    ),
)
EXERCISES = {each.number: each for each in _ALL}


def exercise(number: str) -> Exercise:
    """The exercise of a chapter: `01`, or `1`.

    Raises:
        NoExercise: there is none.
    """
    found = EXERCISES.get(number.zfill(2)) if number.isdecimal() else None
    if found is None:
        raise NoExercise(f"there is no exercise {number!r}; there are {', '.join(EXERCISES)}")
    return found

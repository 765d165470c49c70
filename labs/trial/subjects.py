"""What a trial must know of a system: how to ask for something, and where it keeps what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labs.systems.cover_letters import topology as letters
from labs.systems.documents import topology as documents
from labs.systems.peers import topology as peers
from labs.systems.resumes import topology as resumes


def word(number: int) -> str:
    """What the request with this number is about, and its result must speak of."""
    return f"Company-{number}"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A system on trial.

    Args:
        name: on the command line.
        route: where something is asked for.
        accepted: the status of an answer that says that it is committed, and the field with its id.
        body: of the request with this number.
        user: who makes it.
        request: the client's own key of it: the Idempotency-Key, or what else is unique to it.
        rows: the query of what requests have made: job, request, at.
        asks: the type of a request's message.
        tells: the types of messages that tell of a job's end.
        job: the SQL that gives the job of a row of the outbox.
        results: the query of results: job, what each speaks of, at.
        tallies: queries of how many effects (n) a queue's consumer has had, where a second one would show.
        table: of its jobs, if it has some.
        asks_model: whether a job is done only with an answer of the model.
        queues: those whose messages have effects; a request's first message goes to the first one.
        worker: the kind of process that handles the messages.
        beside: its other processes.
        per_second: requests, on two cores.
        prefetch: most deliveries that a consumer holds, if the settings don't say it.
    """

    name: str
    route: str
    accepted: tuple[int, str]
    body: Callable[[int], dict[str, Any]]
    rows: str
    asks: str
    queues: tuple[str, ...]
    user: Callable[[int], int] = lambda number: 1 + number % 7
    request: Callable[[str, int], str] = lambda run, number: f"{run}-{number}"
    tells: tuple[str, ...] = ()
    job: str = "correlation_id"
    results: str = ""
    tallies: dict[str, str] = field(default_factory=dict)
    table: str = ""
    asks_model: bool = False
    worker: str = "worker"
    beside: tuple[str, ...] = ()
    per_second: float = 12.0
    prefetch: int | None = None


def _rows(table: str) -> str:
    return f"SELECT job_id AS job, idempotency_key AS request, created_at AS at FROM {table}"  # noqa: S608 - constants


COVER_LETTERS = Subject(
    name="cover-letters",
    route="/api/cover-letter",
    accepted=(202, "jobId"),
    body=lambda number: {
        "jobDescription": f"{word(number)} GmbH is hiring a Python Developer.",
        "cvText": f"Ada Number{number}\nPython",
    },
    rows=_rows("cover_letter_jobs"),
    asks=letters.GENERATE_KEY,
    tells=(letters.COMPLETED_KEY, letters.FAILED_KEY),
    results="SELECT job_id AS job, substring(cover_letter FROM 'Company-[0-9]+') AS says, completed_at AS at "
    "FROM cover_letter_jobs WHERE status = 'completed'",
    tallies={letters.ANALYTICS_QUEUE: "SELECT coalesce(sum(completed + failed), 0) AS n FROM analytics_daily"},
    table="cover_letter_jobs",
    asks_model=True,
    queues=(letters.GENERATE_QUEUE, *letters.EVENT_QUEUES),
)
RESUMES = Subject(
    name="resumes",
    route="/api/v1/resumes/generate",
    accepted=(202, "jobId"),
    body=lambda number: {
        "jobDescription": f"{word(number)} GmbH is hiring a Python Developer.",
        "metadata": {"profile": {"name": f"Ada Number{number}"}},
    },
    rows=_rows("resume_jobs"),
    asks=resumes.GENERATE_KEY,
    tells=(resumes.COMPLETED_KEY, resumes.FAILED_KEY),
    table="resume_jobs",
    queues=(resumes.GENERATE_QUEUE, resumes.WEBHOOK_QUEUE),
    per_second=3.0,  # each is a quarter of a second's typesetting
)
DOCUMENTS = Subject(
    name="documents",
    route="/v1/docs",
    accepted=(201, "documentId"),
    body=lambda number: {"title": f"{word(number)} handbook", "content": "Words.", "tags": ["trial"]},
    rows="SELECT made AS job, idempotency_key AS request, created_at AS at FROM requests",
    asks="document.created",
    results="SELECT document_id AS job, substring(title FROM 'Company-[0-9]+') AS says, clock_timestamp() AS at "
    "FROM document_search",
    queues=documents.QUEUES,
)
PEERS = Subject(
    name="peers",
    route="/v1/peers/users",
    accepted=(201, "user_id"),
    body=lambda number: {"username": f"user{number}", "email": f"user{number}@example.com"},
    rows="SELECT user_id::text AS job, username AS request, created_at AS at FROM peers_users",
    asks=peers.USER_CREATED_KEY,
    job="body::jsonb ->> 'user_id'",
    queues=(peers.MATCHING_QUEUE,),
    user=lambda number: 1 + number,
    request=lambda _, number: f"user{number}",
    worker="peers-matching",
    beside=("peers-user",),
    prefetch=50,  # of a RabbitMQClient, whatever the settings say
)
SUBJECTS = {subject.name: subject for subject in (COVER_LETTERS, RESUMES, DOCUMENTS, PEERS)}

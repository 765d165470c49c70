"""What failure tests must know of a system: how to ask for something, and how to count what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from labs.systems.cover_letters import topology as letters
from labs.systems.documents import topology as documents
from labs.systems.peers import topology as peers
from labs.systems.resumes import topology as resumes

if TYPE_CHECKING:
    from tests.faults.system import System


@dataclass(frozen=True)
class Faulty:
    """A system whose parts fail.

    Args:
        name: of the system.
        route: where something is asked for.
        accepted: the status of an answer that says that it is committed, and the field with its id.
        body: of the request with this number, with this text in it.
        done: the query that gives the ids of what is done.
        exchange: of all its messages.
        targets: the queues that a message with this routing key goes to; a request's first message comes first.
        event: the type of the event that each request ends in.
        requests: how many a test makes.
        check: of so many results, besides what holds for every system.
        table: of its jobs, if it has some.
        worker: the kind of process that handles the messages.
        beside: its other processes.
        user: who makes the request with this number.
    """

    name: str
    route: str
    accepted: tuple[int, str]
    body: Callable[[int, str], dict[str, Any]]
    done: str
    exchange: str
    targets: dict[str, tuple[str, ...]]
    event: str
    requests: int
    check: Callable[[System, int], None]
    table: str = ""
    worker: str = "worker"
    beside: tuple[str, ...] = ()
    user: Callable[[int], int] = lambda number: 1 + number % 7

    def __str__(self) -> str:
        return self.name

    @property
    def first(self) -> tuple[str, tuple[str, ...]]:
        """The routing key of a request's first message, which is its type too, and the queues that get it."""
        return next(iter(self.targets.items()))

    def dies_before_ack(self, nth: int) -> str:
        """The failpoint that kills a worker between the nth commit of an effect of the first message and its ack."""
        _, queues = self.first
        return f"consumer.before_ack=kill@{nth}~{queues[0]}"

    @property
    def consumers(self) -> tuple[str, ...]:
        """The queues that get the event."""
        return self.targets[self.event]

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that a request's messages go through."""
        _, queues = self.first
        return tuple(dict.fromkeys((*queues, *self.consumers)))


def _of_jobs(
    name: str,
    *,
    table: str,
    command: tuple[str, str],
    events: dict[str, tuple[str, ...]],
    check: Callable[[System, int], None],
    requests: int,
    **more: Any,
) -> Faulty:
    """A system of jobs; the first of its events is that of a completed one."""

    def check_jobs(system: System, jobs: int) -> None:
        steps = f"SELECT job_id FROM job_history JOIN {table} USING (job_id)"
        completions = system.rows(f"{steps} WHERE step = 'completed'")
        assert sorted(row["job_id"] for row in completions) == sorted(system.asked)
        assert {row["status"] for row in system.rows(f"SELECT status FROM {table}")} == {"completed"}
        check(system, jobs)

    return Faulty(
        name=name,
        accepted=(202, "jobId"),
        done=f"SELECT job_id AS id FROM {table} WHERE status = 'completed'",
        targets={command[0]: command[1:], **events},
        event=next(iter(events)),
        requests=requests,
        check=check_jobs,
        table=table,
        **more,
    )


def _check_letters(system: System, jobs: int) -> None:
    for row in system.rows("SELECT job_description, cover_letter FROM cover_letter_jobs"):
        assert row["job_description"].split()[0] in row["cover_letter"]
    assert system.rows("SELECT sum(completed)::int AS n FROM analytics_daily")[0]["n"] == jobs


def _check_resumes(system: System, jobs: int) -> None:
    # Each job has a PDF of its own, and no worker that died has left one behind.
    query = "SELECT r.id, r.pdf FROM resumes r LEFT JOIN resume_jobs j ON j.resume_id = r.id AND j.job_id = r.job_id"
    found = system.rows(f"{query} WHERE j.job_id IS NOT NULL")
    assert len(found) == len(system.rows(query)) == jobs
    assert all(bytes(row["pdf"]).startswith(b"%PDF-") for row in found)


def _check_documents(system: System, requests: int) -> None:
    # Each document once in each consumer's own table, as its event told of it.
    for table, document in (("notifications", "about"), ("document_search", "document_id")):
        found = [row["id"] for row in system.rows(f"SELECT {document} AS id FROM {table}")]
        assert sorted(found) == sorted(system.asked)
    assert system.rows("SELECT count(*) AS n FROM document_activity")[0]["n"] == requests
    wrong = "SELECT 1 FROM document_search s JOIN document_versions v USING (document_id) WHERE s.title <> v.title"
    assert system.rows(wrong) == []


def _about(text: str) -> dict[str, Any]:
    return {"profile_data": {"text": text}} if text else {}


def _check_peers(system: System, requests: int) -> None:
    # Each user once in the user service's table, and once in the matching service's.
    for table in ("peers_users", "peers_matching"):
        found = [str(row["user_id"]) for row in system.rows(f"SELECT user_id FROM {table}")]
        assert sorted(found) == sorted(system.asked)


COVER_LETTERS = _of_jobs(
    "cover_letters",
    table="cover_letter_jobs",
    route="/api/cover-letter",
    body=lambda number, text: {
        "jobDescription": f"Company-{number} GmbH is hiring a Python Developer. {text}",
        "cvText": f"Ada Number{number}\nPython",
    },
    exchange=letters.EXCHANGE,
    command=(letters.GENERATE_KEY, letters.GENERATE_QUEUE),
    events={letters.COMPLETED_KEY: letters.EVENT_QUEUES, letters.FAILED_KEY: letters.EVENT_QUEUES},
    requests=300,
    check=_check_letters,
)
RESUMES = _of_jobs(
    "resumes",
    table="resume_jobs",
    route="/api/v1/resumes/generate",
    body=lambda number, text: {
        "jobDescription": f"Company-{number} GmbH is hiring a Python Developer. {text}",
        "metadata": {"profile": {"name": f"Ada Number{number}"}},
    },
    exchange=resumes.EXCHANGE,
    command=(resumes.GENERATE_KEY, resumes.GENERATE_QUEUE),
    events={resumes.COMPLETED_KEY: (resumes.WEBHOOK_QUEUE,), resumes.FAILED_KEY: (resumes.WEBHOOK_QUEUE,)},
    requests=60,  # each is a quarter of a second's typesetting
    check=_check_resumes,
)
DOCUMENTS = Faulty(
    name="documents",
    route="/v1/docs",
    accepted=(201, "documentId"),
    body=lambda number, text: {"title": f"Document {number}", "content": text or "Words.", "tags": ["load"]},
    done="SELECT s.document_id AS id FROM document_search s JOIN notifications n ON n.about = s.document_id "
    "JOIN document_activity a ON a.message_id = n.message_id",
    exchange=documents.EXCHANGE,
    targets={"document.created": documents.QUEUES},
    event="document.created",
    requests=400,
    check=_check_documents,
)
PEERS = Faulty(
    name="peers",
    route="/v1/peers/users",
    accepted=(201, "user_id"),
    body=lambda number, text: {"username": f"user{number}", "email": f"user{number}@example.com"} | _about(text),
    done="SELECT user_id AS id FROM peers_matching",
    exchange=peers.USER_EVENTS,
    targets={peers.USER_CREATED_KEY: (peers.MATCHING_QUEUE,)},
    event=peers.USER_CREATED_KEY,
    requests=300,
    check=_check_peers,
    worker="peers-matching",
    beside=("peers-user",),
    user=lambda number: 1 + number,
)
OF_JOBS = (COVER_LETTERS, RESUMES)
FAULTY = (*OF_JOBS, DOCUMENTS, PEERS)

#: For tests of what only systems of jobs have: claims and leases, a slow model, a terminal failure.
only_jobs = pytest.mark.parametrize("kind", OF_JOBS, ids=str, indirect=True)

#: What is asked of peers goes over the broker, and is refused without it; the others keep it in their database.
accepted_without_broker = pytest.mark.parametrize("kind", [*OF_JOBS, DOCUMENTS], ids=str, indirect=True)

"""What failure tests must know of a system of jobs: how to ask for one, and how to count what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labs.systems.cover_letters import topology as letters
from labs.systems.resumes import topology as resumes

if TYPE_CHECKING:
    from tests.faults.system import System


@dataclass(frozen=True)
class Faulty:
    """A system whose parts fail.

    Args:
        name: of the system.
        table: of its jobs.
        route: where a job is asked for.
        body: of the request for a job with this number, with this text in it.
        exchange: of all its messages.
        command: routing key and queue of its command.
        events: routing key and queues of each event; the first is that of a completed job.
        jobs: how many a test asks for.
        check: of so many results, besides what holds for every system.
    """

    name: str
    table: str
    route: str
    body: Callable[[int, str], dict[str, Any]]
    exchange: str
    command: tuple[str, str]
    events: dict[str, tuple[str, ...]]
    jobs: int
    check: Callable[[System, int], None]

    def __str__(self) -> str:
        return self.name

    @property
    def completed(self) -> str:
        """The type of the event of a completed job."""
        return next(iter(self.events))

    @property
    def consumers(self) -> tuple[str, ...]:
        """The queues that get that event."""
        return self.events[self.completed]

    @property
    def queues(self) -> tuple[str, ...]:
        """All work queues, that of the command first."""
        return (self.command[1], *self.consumers)


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


COVER_LETTERS = Faulty(
    name="cover_letters",
    table="cover_letter_jobs",
    route="/api/cover-letter",
    body=lambda number, text: {
        "jobDescription": f"Company-{number} GmbH is hiring a Python Developer. {text}",
        "cvText": f"Ada Number{number}\nPython",
    },
    exchange=letters.EXCHANGE,
    command=(letters.GENERATE_KEY, letters.GENERATE_QUEUE),
    events={letters.COMPLETED_KEY: letters.EVENT_QUEUES, letters.FAILED_KEY: letters.EVENT_QUEUES},
    jobs=300,
    check=_check_letters,
)
RESUMES = Faulty(
    name="resumes",
    table="resume_jobs",
    route="/api/v1/resumes/generate",
    body=lambda number, text: {
        "jobDescription": f"Company-{number} GmbH is hiring a Python Developer. {text}",
        "metadata": {"profile": {"name": f"Ada Number{number}"}},
    },
    exchange=resumes.EXCHANGE,
    command=(resumes.GENERATE_KEY, resumes.GENERATE_QUEUE),
    events={resumes.COMPLETED_KEY: (resumes.WEBHOOK_QUEUE,), resumes.FAILED_KEY: (resumes.WEBHOOK_QUEUE,)},
    jobs=300,
    check=_check_resumes,
)
FAULTY = (COVER_LETTERS, RESUMES)

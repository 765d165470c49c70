"""The state machine of a job: pending > processing > completed | failed | cancelled, each step one committed statement.

Terminal states don't change, but for a failed job that an operator sends back (a redrive). A claim gives a
lease and a fence; a result counts only with the newest fence, so of two workers on one job one result is kept.
Each step writes its history, its message (outbox) and its effect (inbox) in the same transaction.
"""

from __future__ import annotations

from labs.store.jobs.claims import Claim, Claiming, NotClaimed
from labs.store.jobs.endings import Ending
from labs.store.jobs.job import Job, JobStatus
from labs.store.jobs.making import Created, Making, NewJob, Quota
from labs.store.jobs.reading import Reading, Step


class Jobs(Making, Claiming, Ending, Reading):
    """The jobs of one table. Who needs a part of this alone asks for that part."""


__all__ = [
    "Claim",
    "Claiming",
    "Created",
    "Ending",
    "Job",
    "JobStatus",
    "Jobs",
    "Making",
    "NewJob",
    "NotClaimed",
    "Quota",
    "Reading",
    "Step",
]

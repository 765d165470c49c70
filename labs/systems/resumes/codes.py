"""Why a job has failed, in words for programs and for people; and where the routes are that workers call back."""

from __future__ import annotations

from enum import StrEnum

PREFIX = "/api/v1/resumes"


class ErrorCode(StrEnum):
    """What `errorCode` may be."""

    PDF_FAILED = "pdf_failed"
    WORKER_CRASHED = "worker_crashed"
    GIVEN_UP = "given_up"

    @classmethod
    def of(cls, reason: str) -> ErrorCode:
        """The code of the reason for which a message went to the dead-letter queue."""
        if cls.PDF_FAILED in reason:
            return cls.PDF_FAILED
        return cls.WORKER_CRASHED if "workers died" in reason else cls.GIVEN_UP

    @property
    def explained(self) -> str:
        """For the job's owner; what exactly failed is for operators: `labs dlq list`."""
        return _EXPLAINED[self]


_EXPLAINED = {
    ErrorCode.PDF_FAILED: "the PDF could not be made from these data",
    ErrorCode.WORKER_CRASHED: "every worker that tried it ended",
    ErrorCode.GIVEN_UP: "its processing was given up after several attempts",
}

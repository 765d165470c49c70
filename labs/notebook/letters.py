"""A client of the cover-letter API that measures each answer, for the experiments of notebooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from labs.errors import LabError
from labs.stack.demo import sample_application
from labs.tls import tls_for

T = TypeVar("T")

_PATH = "/api/cover-letter"
_TIMEOUT_S = 60.0
_POLL_S = 0.05
_TERMINAL = frozenset({"completed", "failed", "cancelled"})


class NoAnswer(LabError):
    """A job did not get where it should, in time."""


@dataclass(frozen=True)
class Answer:
    """What a caller got: the status, and how long it took."""

    status: int
    took_ms: float
    body: dict[str, Any]

    @property
    def job_id(self) -> str:
        """Of a 202."""
        return str(self.body["jobId"])


class CoverLetters:
    """Asks for the sample letter."""

    def __init__(self, api_url: str, *, token: str) -> None:
        self._options: dict[str, Any] = {
            "base_url": api_url,
            "headers": {"Authorization": f"Bearer {token}"},
            "timeout": _TIMEOUT_S,
            "verify": tls_for(api_url),
            "trust_env": False,
        }
        application = sample_application()
        self._request = {"jobDescription": application.job_description, "cvText": application.cv_text}

    def post(self) -> Answer:
        """Ask for one letter; a 202 comes at once."""
        with httpx.Client(**self._options) as http:
            started = time.perf_counter()
            return _answer(http.post(_PATH, json=self._request), started)

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as its owner sees it."""
        with httpx.Client(**self._options) as http:
            job: dict[str, Any] = http.get(f"{_PATH}/status/{job_id}").raise_for_status().json()
            return job

    async def burst(self, count: int, *, wait: bool = False) -> list[Answer]:
        """That many requests at the same moment; with `wait` the old way, whose callers wait for their letters."""
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(**self._options, limits=limits) as http:
            # Opening connections, here and to the database, is not what this measures.
            await asyncio.gather(*(http.get(f"{_PATH}/jobs", params={"limit": 1}) for _ in range(count)))
            return await asyncio.gather(*(self._ask(http, wait=wait) for _ in range(count)))

    async def _ask(self, http: httpx.AsyncClient, *, wait: bool) -> Answer:
        started = time.perf_counter()
        return _answer(await http.post(_PATH + ("/sync" if wait else ""), json=self._request), started)

    async def ended(self, job_ids: Sequence[str], *, timeout_s: float = _TIMEOUT_S) -> list[dict[str, Any]]:
        """Wait until these jobs have ended; returns them, in the same order.

        Raises:
            NoAnswer: one of them did not, in time.
        """
        async with httpx.AsyncClient(**self._options) as http:
            return [await self._ended(http, job_id, timeout_s) for job_id in job_ids]

    @staticmethod
    async def _ended(http: httpx.AsyncClient, job_id: str, timeout_s: float) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            job: dict[str, Any] = (await http.get(f"{_PATH}/status/{job_id}")).raise_for_status().json()
            return job if job["status"] in _TERMINAL else None

        return await until(look, what=f"the end of job {job_id}", timeout_s=timeout_s)


async def until(look: Callable[[], Awaitable[T | None]], *, what: str, timeout_s: float = _TIMEOUT_S) -> T:
    """Look again and again until there is something to see; returns that.

    Raises:
        NoAnswer: there was nothing in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (seen := await look()):
        if time.monotonic() > deadline:
            raise NoAnswer(f"waited {timeout_s:g} s for {what}: see the logs of the processes")
        await asyncio.sleep(_POLL_S)
    return seen


def _answer(response: httpx.Response, started: float) -> Answer:
    took_ms = (time.perf_counter() - started) * 1000
    body = response.json()
    return Answer(response.status_code, took_ms, body if isinstance(body, dict) else {})

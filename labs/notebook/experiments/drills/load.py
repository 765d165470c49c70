"""A steady small load over HTTP from clients that behave: each repeats its request, under one key, until accepted."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from labs.notebook.experiments.drills import metrics
from labs.notebook.experiments.drills.metrics import Metric
from labs.notebook.experiments.drills.probes import Figures
from labs.notebook.session import Notebook
from labs.stack.demo import sample_application

_PATH = "/api/cover-letter"
#: A client that waits for ever for one answer learns nothing of an outage.
_TRY_TIMEOUT_S = 1.0
_PAUSE_S = 0.1


@dataclass
class Request:
    """One user's request: when it was made, when it was accepted, and as which job. Seconds of `time.time`."""

    asked_at: float
    accepted_at: float | None = None
    job_id: str = ""
    tries: int = 0


class Load:
    """Makes requests at an even pace; `requests` holds all that were made. A context manager."""

    def __init__(self, lab: Notebook) -> None:
        application = sample_application()
        self._body = {"jobDescription": application.job_description, "cvText": application.cv_text}
        self._http = httpx.AsyncClient(
            base_url=lab.stack.api_url,
            headers={"Authorization": f"Bearer {lab.stack.token()}"},
            timeout=_TRY_TIMEOUT_S,
            trust_env=False,
        )
        self.requests: list[Request] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def waiting(self) -> int:
        """Requests that have no 202 yet."""
        return sum(request.accepted_at is None for request in self.requests)

    async def run(self, *, per_second: float, stop: asyncio.Event) -> None:
        """Make requests on a schedule that waits for no answer, until told to stop; returns when all are accepted."""
        started, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                tasks.create_task(self._ask())
                number += 1
                await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))

    async def burst(self, count: int) -> None:
        """Make so many requests at once; returns when all are accepted."""
        await asyncio.gather(*(self._ask() for _ in range(count)))

    def burst_from_thread(self) -> Callable[[int], None]:
        """`burst` for another thread than that of the running loop."""
        loop = asyncio.get_running_loop()
        return lambda count: asyncio.run_coroutine_threadsafe(self.burst(count), loop).result()

    async def _ask(self) -> None:
        request = Request(time.time())
        self.requests.append(request)
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        while request.accepted_at is None:
            request.tries += 1
            try:
                answer = await self._http.post(_PATH, json=self._body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                request.job_id, request.accepted_at = str(answer.json()["jobId"]), time.time()
            else:
                await asyncio.sleep(_PAUSE_S)


class ClientsProbe:
    """What the clients themselves know."""

    every_s = 0.1
    answers: Metric | None = None

    def __init__(self, load: Load) -> None:
        self._load = load

    def look(self) -> Figures:
        return {metrics.WAITING: self._load.waiting}

    def close(self) -> None:
        """Nothing to let go."""

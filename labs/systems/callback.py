"""Workers call the API back with what became of a job; the API commits it behind the job's fence."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import httpx
import jwt

from labs.errors import DependencyDown, JobNotFound, LeaseLost, PermanentError
from labs.settings import LOOPBACK, Settings

_ALGORITHM = "HS256"
#: What a worker's token claims to be.
ROLE = "worker"
_LIFETIME_S = 60
_TIMEOUT_S = 10.0


def worker_token(settings: Settings) -> str:
    """A token that lets its bearer report what became of jobs, for a minute, and nothing else."""
    claims = {"role": ROLE, "aud": settings.jwt_audience, "exp": int(time.time()) + _LIFETIME_S}
    return jwt.encode(claims, settings.worker_signing_secret(), algorithm=_ALGORITHM)


class Callback:
    """Calls to one API; use it as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = settings.callback_url()
        # A proxy that the environment names knows nothing of our own machine.
        self._http = httpx.AsyncClient(
            base_url=url, timeout=_TIMEOUT_S, trust_env=httpx.URL(url).host not in LOOPBACK, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Report; harmless to repeat.

        Raises:
            DependencyDown: no answer, or not known to be committed: repeat it.
            LeaseLost: refused, since somebody else has claimed or ended the job.
            JobNotFound: there is no such job.
            PermanentError: the API will never take this.
        """
        headers = {"Authorization": f"Bearer {worker_token(self._settings)}"}
        try:
            response = await self._http.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise DependencyDown(f"the API doesn't answer: {type(error).__name__}") from error
        status = response.status_code
        if status in {401, 403}:
            raise DependencyDown("the API refuses this worker's token: both need the same LAB_WORKER_SECRET")
        if status >= 500 or status in {408, 429}:
            raise DependencyDown(f"the API answered {status}")
        if status == 404:
            raise JobNotFound("the API knows no such job")
        if status == 409:
            raise LeaseLost("the API refused it: somebody else has claimed or ended the job")
        if not response.is_success:
            raise PermanentError(f"the API answered {status}")

"""The load of a trial: clients that behave, each repeating its request under one key until it is accepted.

What a client can't know it writes down as `info`: a request that timed out, or was cut off, may have been committed.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from types import TracebackType
from typing import Self

import httpx

from labs.tls import tls_for
from labs.trial import operations as op
from labs.trial.history import Ids
from labs.trial.site import Site
from labs.trial.subjects import word

_CLIENTS = 6
_TRY_TIMEOUT_S = 8.0
_PAUSE_S = 0.1
#: After the load a request may wait for the system to come back; then its client gives up.
_PATIENCE_S = 90.0


class Load:
    """Makes requests at an even pace from several threads until it is stopped. A context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._due: queue.Queue[int | None] = queue.Queue()
        self._stop = threading.Event()
        self._give_up = threading.Event()
        self._threads = [threading.Thread(target=self._pace, name="pace")]
        self._threads += [
            threading.Thread(target=self._client, args=[f"client-{number}"]) for number in range(1, _CLIENTS + 1)
        ]
        self.accepted = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None:
            self._give_up.set()
        self.join()

    def stop(self) -> None:
        """Make no new requests."""
        self._stop.set()

    def join(self) -> None:
        """Wait until every request is accepted or given up."""
        deadline = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join()

    def _pace(self) -> None:
        started = time.monotonic()
        for number in itertools.count():
            due_s = started + number / self._site.subject.per_second
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                break
            self._due.put(number)
        for _ in range(_CLIENTS):
            self._due.put(None)

    def _client(self, name: str) -> None:
        with httpx.Client(timeout=_TRY_TIMEOUT_S, verify=tls_for("http:"), trust_env=False) as http:
            while (number := self._due.get()) is not None:
                while not self._give_up.is_set() and not self._ask(http, name, number):
                    self._give_up.wait(_PAUSE_S)

    def _ask(self, http: httpx.Client, name: str, number: int) -> bool:
        """One try; whether it was accepted."""
        site, subject = self._site, self._site.subject
        ids = Ids(request=subject.request(site.vhost, number))
        headers = {
            "Authorization": f"Bearer {site.stack.token(user_id=subject.user(number))}",
            "Idempotency-Key": ids.request,
        }
        site.history.add(name, "invoke", op.SUBMIT, ids, value=word(number))
        try:
            response = http.post(f"{site.api_url}{subject.route}", json=subject.body(number), headers=headers)
        except httpx.ConnectError as error:
            site.history.add(name, "fail", op.SUBMIT, ids, error=type(error).__name__)
            return False
        except httpx.TransportError as error:
            site.history.add(name, "info", op.SUBMIT, ids, error=type(error).__name__)
            return False
        status, id_field = subject.accepted
        if response.status_code != status:
            known = "fail" if response.is_client_error else "info"
            site.history.add(name, known, op.SUBMIT, ids, error=f"{response.status_code}")  # type: ignore[arg-type]
            return False
        accepted = Ids(request=ids.request, job=str(response.json()[id_field]))
        site.history.add(name, "ok", op.SUBMIT, accepted)
        self.accepted += 1
        return True

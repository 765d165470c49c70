"""The lab's own processes as one thing: stub model, API, relay, workers, on a given broker and database."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from labs.errors import ConfigurationError
from labs.llm.control import StubModel
from labs.processes import Progress, port_is_free, quiet
from labs.service.tokens import make_token
from labs.settings import Settings, load_settings
from labs.stack.child import END_TIMEOUT_S, Child, ChildRecord, ProcessFailed
from labs.stack.records import write_records

#: Starting a process on a busy machine of two cores.
_READY_TIMEOUT_S = 60.0


class Stack:
    """Starts and ends the processes; a context manager that leaves none behind.

    Args:
        amqp_url: the broker and virtual host that all use.
        database_url: the database.
        folder: for logs.
        settings: further settings by name, for example `{"lease_s": 2}`.
        own_model: start the stub model and use it, whatever the environment says of OpenAI.
        records_file: where to write down which processes run, from the first one on, for who ends them if we can't.
    """

    def __init__(
        self,
        amqp_url: str,
        database_url: str,
        *,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        own_model: bool = True,
        records_file: Path | None = None,
        progress: Progress = quiet,
    ) -> None:
        self._folder = folder
        self._records_file = records_file
        self._found: tuple[ChildRecord, ...] = ()
        self._own_model = own_model
        self._progress = progress
        self._values = {
            "amqp_url": amqp_url,
            "database_url": database_url,
            "api_port": 0,
            "stub_port": 0,
            **(settings or {}),
        }
        self._model_url: str | None = None
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def environment(self, **overrides: object) -> dict[str, str]:
        """The environment of a child: ours, with this stack's settings on top."""
        environment = dict(os.environ)
        for name, value in {**self._values, **overrides}.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            environment[f"LAB_{name.upper()}"] = text
        if self._own_model and self._model_url:
            environment["OPENAI_BASE_URL"] = f"{self._model_url}/v1"
            environment["OPENAI_API_KEY"] = "stub"
        environment["RABBITMQ_URL"] = environment["LAB_AMQP_URL"]
        return environment

    def start(self, *, workers: int = 1, services: Sequence[str] = (), found: Sequence[ChildRecord] = ()) -> Self:
        """Start everything but what was found running, and wait until it is ready; `services` are systems' own.

        Raises:
            ProcessFailed: one of them did not start; all that were started here are ended again.
        """
        self._found = tuple(found)
        running = {record.name: record for record in found}
        try:
            if self._own_model and "stub" in running:
                self._model_url = running["stub"].url
            elif self._own_model:
                self.start_stub()
            if "api" not in running:
                self.start_api()
            self._values["api_url"] = running["api"].url if "api" in running else self.api_url
            names = ["relay", *(f"worker-{number}" for number in range(1, workers + 1)), *services]
            started = [
                self.launch(name if name in services else _kind(name), name=name)
                for name in names
                if name not in running
            ]
            for child in started:
                self._ready(child)
        except BaseException:
            self.stop()
            raise
        return self

    def start_stub(self) -> Child:
        """Start the stub model."""
        stub = self._ready(self.launch("stub"))
        self._model_url = stub.url
        return stub

    def start_api(self) -> Child:
        """Start an API, on the port of the one before if there was one."""
        before = [child.url for child in self.children if child.name == "api" and child.url]
        port = urlsplit(before[-1]).port if before else self._values["api_port"]
        return self._ready(self.launch("api", api_port=port))

    def start_relay(self, **overrides: object) -> Child:
        """Start one more relay, with these settings changed for it."""
        return self._ready(self.launch("relay", name=f"relay-{len(self.children)}", **overrides))

    def start_worker(self, **overrides: object) -> Child:
        """Start one more worker, with these settings changed for it."""
        return self._ready(self.launch("worker", name=f"worker-{len(self.children)}", **overrides))

    def start_service(self, service: str, **overrides: object) -> Child:
        """Start one more process of a system's own, `SYSTEM-SERVICE`."""
        return self._ready(self.launch(service, name=f"{service}-{len(self.children)}", **overrides))

    def launch(self, kind: str, *, name: str | None = None, **overrides: object) -> Child:
        """Start a process and don't wait until it is ready."""
        child = Child(name or kind, kind.split("-"), environment=self.environment(**overrides), folder=self._folder)
        self.children.append(child)
        self._save()
        return child

    def _ready(self, child: Child) -> Child:
        child.wait_ready(timeout_s=_READY_TIMEOUT_S)
        self._save()
        self._progress(f"{child.name} is ready" + (f": {child.url}" if child.url else ""))
        return child

    def of(self, kind: str) -> list[Child]:
        """The running processes of a kind: stub, api, relay, worker, or a system's service."""
        return [child for child in self.children if f"{child.name}-".startswith(f"{kind}-") and child.is_running]

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return self._url_of("api")

    @property
    def stub(self) -> StubModel:
        """The stub model's dials and ledger."""
        return StubModel(self._url_of("stub"))

    def _url_of(self, kind: str) -> str:
        for child in self.of(kind):
            if child.url:
                return child.url
        raise ConfigurationError(f"no {kind} of this stack runs: start it first")

    def token(self, *, user_id: int | str = 1, email: str | None = None) -> str:
        """A bearer token that this stack's API accepts."""
        return make_token(load_settings(**self._values), user_id=user_id, email=email)

    def stop(self) -> None:
        """End all processes: those that take from queues first, the model last.

        Raises:
            ProcessFailed: some had to be killed; all are gone all the same.
        """
        killed: list[ProcessFailed] = []
        others = sorted({_kind(child.name) for child in self.children} - {"api", "stub"})
        for kind in ("api", *others, "stub"):
            ending = self.of(kind)
            for child in ending:
                child.signal(signal.SIGTERM)
            for child in ending:
                try:
                    child.wait(timeout_s=END_TIMEOUT_S)
                except ProcessFailed as error:
                    killed.append(error)
        self.children = []
        self._save()
        if killed:
            raise killed[0]

    def _save(self) -> None:
        if self._records_file is None:
            return
        running = [child.record() for child in self.children if child.is_running]
        write_records(self._records_file, [*self._found, *running])


def _kind(name: str) -> str:
    return name.partition("-")[0]


def port_or_free(port: int) -> int:
    """The port if it is free, else 0: any."""
    return port if port_is_free(port) else 0


def uses_own_model(settings: Settings) -> bool:
    """Whether the stub model is to be used: nothing else is configured."""
    return settings.openai_api_key is None and settings.openai_base_url is None

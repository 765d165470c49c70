"""Gives a notebook a virtual host, a database and processes of its own, all gone when it ends, however it ends.

When its kernel is killed, a guard that waited for its end removes what it left; if that is killed too, whoever starts
or tests the next notebook does.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog

from labs.broker import Broker, Node, VirtualHost, find_package, install_package, private_node, virtual_host
from labs.errors import BrokerError, ConfigurationError
from labs.llm.control import StubModel
from labs.notebook.letters import CoverLetters
from labs.notebook.remains import SETTING, Ownership, own, start_guard, sweep
from labs.programs import Program
from labs.settings import Settings, load_settings
from labs.stack.stack import Stack
from labs.store.database import Database
from labs.store.server import PostgresServer, private_server, resolve_database

#: Seconds that a chapter waits for a connection to its database.
_PATIENCE_S = 20.0


class Notebook:
    """What one notebook owns. `close` it in the last cell; it may be called twice."""

    def __init__(
        self, label: str, *, settings: Settings, own_broker: bool, own_database: bool, values: dict[str, object]
    ) -> None:
        self.label = label
        self._values = values
        self._own_broker, self._own_database = own_broker, own_database
        self._stack: Stack | None = None
        self._programs: list[Program] = []
        self._database_url: str | None = None
        self._owned: Ownership | None = own(settings)
        self._guard = start_guard()
        #: Where its own servers live, if it has any.
        self._private = load_settings(home=self._owned.folder, amqp_url=None, management_url=None, database_url=None)
        self._settings = settings
        self._own_server: Future[str] | None = None
        try:
            with ThreadPoolExecutor(1) as beside_the_broker:
                if own_database:
                    self._own_server = beside_the_broker.submit(resolve_database, self._private)
                if own_broker and find_package() is None:
                    install_package(settings)
                self.vhost: VirtualHost = virtual_host(label, settings=self._private if own_broker else settings)
        except BrokerError:
            self._release(self._owned)
            raise

    @property
    def broker(self) -> Broker:
        """The broker, which others use too."""
        return self.vhost.broker

    @property
    def node(self) -> Node:
        """This notebook's own broker, which it may kill.

        Raises:
            ConfigurationError: it has none: others use this broker too.
        """
        if not self._own_broker:
            raise ConfigurationError("this broker is used by others too: notebook(..., own_broker=True) gives your own")
        return private_node(self._private)

    @property
    def database_server(self) -> PostgresServer:
        """This notebook's own database server, which it may kill.

        Raises:
            ConfigurationError: it has none: others use this server too.
        """
        if not self._own_database:
            raise ConfigurationError("this server is used by others too: notebook(..., own_database=True) gives yours")
        return private_server(self._private)

    @property
    def version(self) -> tuple[int, ...]:
        """The broker's version, as numbers."""
        return tuple(int(number) for number in re.findall(r"\d+", self.broker.version or ""))[:3]

    @property
    def amqp_url(self) -> str:
        """The AMQP URL of this notebook's virtual host.

        Without heartbeats: a connection in a kernel can't answer any while its reader thinks.
        """
        return f"{self.vhost.amqp_url}?heartbeat=0"

    @property
    def folder(self) -> Path:
        """For its files, made when first asked for; it goes with the notebook, also if its kernel is killed."""
        made = self._ownership().folder
        made.mkdir(exist_ok=True)
        return made

    @property
    def database_url(self) -> str:
        """This notebook's own database, made when first asked for.

        Raises:
            DatabaseUnavailable: there is no server, and none could be started.
            ConfigurationError: its user may not create databases.
        """
        if self._database_url is None:
            owned = self._ownership()
            server = self._own_server.result() if self._own_server else resolve_database(self._settings)
            self._database_url = owned.create_database(server)
        return self._database_url

    @property
    def database(self) -> Database:
        """A pool on it, to be used with `async with`; patient, since a chapter may load the whole machine."""
        return Database(self.database_url, name=f"notebook {self.label}", pool=2, timeout_s=_PATIENCE_S)

    @property
    def environment(self) -> dict[str, str]:
        """What each process that this notebook starts has in its environment: by it, it ends with the notebook."""
        return {f"LAB_{SETTING.upper()}": self._ownership().name}

    def program(self, function: Callable[..., object], **arguments: object) -> Program:
        """Run a function of a module in a process of its own, which can be killed; it ends with this notebook at last.

        Args:
            function: called with `url`, this notebook's broker, unless that is given.
            arguments: handed to it; fit for JSON.

        Raises:
            ValueError: the function can't be imported by another process.
        """
        made = Program(function, environment=self.environment, **{"url": self.vhost.amqp_url, **arguments})
        self._programs.append(made)
        return made

    def start(self, *, workers: int = 1, services: Sequence[str] = ()) -> Stack:
        """Start stub model, API, relay and workers, and these services of systems' own.

        Raises:
            ProcessFailed: one of them did not start; the text holds the end of its log.
        """
        url = self.database_url
        owned = self._ownership()
        settings = {**_as_in_the_chapters(), **self._values, SETTING: owned.name}
        self._stack = Stack(self.vhost.amqp_url, url, folder=owned.folder, settings=settings)
        return self._stack.start(workers=workers, services=services)

    @property
    def stack(self) -> Stack:
        """What `start` has started."""
        if self._stack is None:
            raise ConfigurationError("nothing runs yet: call start() first")
        return self._stack

    @property
    def letters(self) -> CoverLetters:
        """A client of the API."""
        return CoverLetters(self.stack.api_url, token=self.stack.token())

    @property
    def model(self) -> StubModel:
        """The stub model's dials and ledger; close it, or use it with `with`."""
        return self.stack.stub

    def close(self) -> None:
        """End the processes, delete the virtual host, drop the database."""
        owned, self._owned = self._owned, None
        if owned is None:
            return
        for program in self._programs:
            program.kill()
        if self._stack is not None:
            for child in self._stack.children:
                child.kill()  # it has nothing to finish: its database is dropped
            self._stack.stop()
        if self._own_broker:
            self.node.kill()  # deleting what is on it would take longer, and nobody needs it any more
            with contextlib.suppress(BrokerError):
                self.vhost.close()
        else:
            self.vhost.close()
        self._release(owned)

    def _release(self, owned: Ownership) -> None:
        owned.end()
        self._guard.communicate(b"nothing left")

    def _ownership(self) -> Ownership:
        if self._owned is None:
            raise ConfigurationError("this notebook is closed: run it again from its first cell")
        return self._owned


def _as_in_the_chapters() -> dict[str, object]:
    """Every setting of a process that is started, whatever the environment or `.env` says of others.

    In the stack's JupyterLab they name the addresses and ports of other containers; elsewhere perhaps a mail server.
    """
    settings: dict[str, object] = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, (int, float, str, tuple)) and not name.startswith("log_")
    }
    return settings | {"api_port": 0, "stub_port": 0, "smtp_url": ""}


def notebook(
    label: str,
    *,
    own_broker: bool = False,
    own_database: bool = False,
    settings: Settings | None = None,
    **values: object,
) -> Notebook:
    """Parts for one notebook: finds or starts the broker, and first removes what dead notebooks have left.

    Args:
        label: the chapter, for example `"09"`.
        own_broker: start a private node for this notebook alone, which it may kill: takes some five seconds.
        own_database: the same for the database, beside the node.
        settings: of this checkout; default: from the environment.
        values: settings of the processes that it starts, by name, for example `lease_s=2`.

    Raises:
        BrokerError: there is no broker; see `labs.broker.resolve`.
    """
    settings = settings or load_settings()
    sweep(settings)
    # A chapter shows what its cells print; what goes wrong in them is an error, and processes have logs of their own.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return Notebook(
        f"notebook-{label}", settings=settings, own_broker=own_broker, own_database=own_database, values=values
    )

"""A private RabbitMQ node: ours alone, on loopback, whole again after any crash, with the same ports and data."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from labs import processes
from labs.broker import erlang, node_files
from labs.broker.management import Management
from labs.broker.node_files import PASSWORD, USER, NodeState, Ports, Shared
from labs.broker.package import Package, find_package
from labs.errors import BrokerError, BrokerNotFound, BrokerUnavailable
from labs.processes import FoundProcess, Progress, quiet

#: A start takes 4 to 6 s on two cores; a loaded machine gets time, a stuck one an error.
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
DEAF_TIMEOUT_S = 3.0
CONTROL_TIMEOUT_S = 30.0
#: All tables, while clients declare and publish: it waits for the disk.
SETTLE_TIMEOUT_S = 120.0

#: What a node has in memory alone for some seconds: the log of Mnesia (it knows virtual hosts, users, queues, bindings;
#: since 4.3 Khepri does, which syncs), and tables of Ra, which knows the quorum queues. One in twenty queues was gone
#: when a node was killed within a second of their declaration, once a virtual host after three (seen with 3.10).
TO_DISK = """
case mnesia:system_info(is_running) of yes -> ok = mnesia:sync_log(), dumped = mnesia:dump_log(); no -> ok end,
lists:foreach(fun(Table) -> ok = dets:sync(Table) end, dets:all()).
"""

#: Each with other ports.
_TRIES = 4
#: How Erlang and RabbitMQ say it, of the node's own ports and of its port mapper's.
_PORT_TAKEN = re.compile("eaddrinuse|port_already_used|address already in use", re.IGNORECASE)


class Node:
    """The node that lives in `home`, run by `package` or the RabbitMQ that is installed.

    With `shared` it is one of several; who makes them ends their port mapper.

    Any process may hold such an object: all see the same node.

    The node outlives the process that started it. Ports, name, data and logs stay over `stop`, `kill` and crashes,
    so clients find it again where it was; a port that somebody else has taken meanwhile is replaced, and said.
    """

    def __init__(self, home: Path, *, package: Package | None = None, shared: Shared | None = None) -> None:
        self.home = Path(home).absolute()
        self._package = package
        self._shared = shared
        self._state_file = self.home / "node.json"
        self._digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        #: Names this folder on the command line of its Erlang process.
        self._marker = f"rabbitmq-lab-{self._digest}"

    @property
    def name(self) -> str:
        """The Erlang node name."""
        return self._known().name

    @property
    def amqp_url(self) -> str:
        """AMQP URL of the virtual host `/`."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self._known().ports.amqp}/%2F"

    @property
    def management_url(self) -> str:
        """URL of the management API and UI, with the credentials."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self._known().ports.management}"

    @property
    def version(self) -> str | None:
        """RabbitMQ's version as of the last start."""
        return self._known().version

    @property
    def pid(self) -> int | None:
        """The Erlang process, if it runs."""
        found = self._process()
        return found.pid if found else None

    @property
    def log(self) -> Path:
        """RabbitMQ's log; `console.log` beside it has what precedes it."""
        return self.home / "log" / "node.log"

    def read_log(self) -> str:
        """All that RabbitMQ has written into its log."""
        return self.log.read_text(errors="replace")

    def is_running(self) -> bool:
        """Whether it runs and answers."""
        return self._process() is not None and self._answers()

    def start(self, progress: Progress = quiet) -> None:
        """Start it unless it runs; returns when AMQP and the management API answer.

        Safe to call from several processes at once: one starts it, the others wait for it.

        Raises:
            BrokerNotFound: no RabbitMQ is installed.
            BrokerUnavailable: it didn't come up; the message has the end of its log and what to do.
        """
        if self.is_running():
            return
        package = self._package or find_package()
        if package is None:
            raise BrokerNotFound("no rabbitmq-server is installed here: install it, or set LAB_AMQP_URL")
        with self._exclusive():
            self._recover_or_start(package, progress)

    def stop(self) -> None:
        """Stop it cleanly, and its port mapper with it, if that is its own. No error if it doesn't run."""
        with self._exclusive():
            # A node that is still starting doesn't hear SIGTERM, and nobody should wait long to interrupt a start.
            self._end_all(grace_s=STOP_TIMEOUT_S if self._answers() else DEAF_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL the Erlang process, as a crash would; returns when it is gone. For failure tests.

        Confirmed messages survive in durable queues. Queues and virtual hosts themselves survive if they are older than
        the last `settle`, or some seconds old: RabbitMQ before 4.3 brings its lists of them to disk a moment after a
        change. (A quorum queue that is missing in its list stays without leader.)
        """
        found = self._process()
        if found is not None:
            processes.end(found.pid, grace_s=STOP_TIMEOUT_S, signals=[signal.SIGKILL])

    def settle(self) -> None:
        """Bring to disk what was declared before now, so that it survives a `kill`; takes about a second.

        Raises:
            BrokerError: the node doesn't run, or doesn't do it.
        """
        self.control("eval", TO_DISK, timeout_s=SETTLE_TIMEOUT_S)

    def control(self, *arguments: str, timeout_s: float = CONTROL_TIMEOUT_S) -> str:
        """Run RabbitMQ's own `rabbitmqctl` against this node, and return what it prints; takes about a second.

        Raises:
            BrokerNotFound: no RabbitMQ is installed.
            BrokerUnavailable: the command failed or took longer than `timeout_s`; the message has what it printed.
        """
        package = self._package or find_package()
        if package is None:
            raise BrokerNotFound("no rabbitmq-server is installed here, and so no rabbitmqctl")
        script = package.script.with_name("rabbitmqctl")
        try:
            return subprocess.run(
                [script, "--quiet", *arguments],
                env=node_files.environment(self.home, self._known(), package.script),
                check=True,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            ).stdout
        except subprocess.CalledProcessError as error:
            printed = " ".join((error.stderr or error.stdout).split())
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]}: {printed}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]}: {error}") from error

    def _recover_or_start(self, package: Package, progress: Progress) -> None:
        found = processes.search(marker=self._marker)
        if found is not None:
            # Its starter died before it was up, or it hangs: it gets the time that a start may take.
            patience_s = max(5.0, START_TIMEOUT_S - found.age_s)
            if self._state() is not None and self._wait_until_up(found.pid, timeout_s=patience_s):
                self._remember(self._known(), found.pid)
                return
            progress("The RabbitMQ that was left here doesn't answer; replacing it")
        self._end_all(grace_s=5.0)
        for number in range(_TRIES):
            state = self._prepare(progress, afresh=number)
            progress(f"Starting RabbitMQ {package.version or ''} on 127.0.0.1:{state.ports.amqp}")
            if self._launch(package, state):
                return
            if not _PORT_TAKEN.search(self._console()):
                break  # only a port taken between our look and its start is worth another try
        raise BrokerUnavailable(self._post_mortem())

    def _launch(self, package: Package, state: NodeState) -> bool:
        pid = erlang.launch(self.home, state, package, marker=self._marker)
        node_files.write_state(self._state_file, state.model_copy(update={"pid": pid}))
        if not self._wait_until_up(pid, timeout_s=START_TIMEOUT_S):
            self._end_all(grace_s=5.0)
            return False
        self._remember(state, pid)
        return True

    def _prepare(self, progress: Progress, *, afresh: int) -> NodeState:
        """Ports and files; the ports of before, unless a start has just failed: who took one may do it again."""
        old = self._state()
        ports = self._choose_ports(old.ports if old and not afresh else None, afresh=afresh)
        if old is not None and ports != old.ports:
            progress(f"Another program has taken a port of the private RabbitMQ; it moves to {ports.amqp}")
        state = NodeState(name=old.name if old else f"lab-{self._digest}@localhost", ports=ports)
        node_files.write_files(self.home, ports, cookie=self._shared.cookie if self._shared else None)
        (self.home / "log" / "console.log").write_text("")
        node_files.write_state(self._state_file, state)
        return state

    def _choose_ports(self, old: Ports | None, *, afresh: int) -> Ports:
        names = list(Ports.model_fields)
        kept = {name: port for name, port in (old.model_dump() if old else {}).items() if processes.port_is_free(port)}
        if self._shared:
            kept["epmd"] = self._shared.epmd
        # Our own ports are free as well while we are down: they must not be dealt out twice.
        seed = f"{self._marker}, try {afresh}" if afresh else self._marker
        fresh = (port for port in processes.free_ports(2 * len(names), seed=seed) if port not in kept.values())
        return Ports.model_validate({name: kept.get(name) or next(fresh) for name in names})

    def _wait_until_up(self, pid: int, *, timeout_s: float) -> bool:
        is_up = False

        def up_or_gone() -> bool:
            nonlocal is_up
            is_up = self._answers() and erlang.speaks_amqp(self._known().ports.amqp)
            return is_up or not processes.is_alive(pid)  # a process that is gone won't come up

        return processes.wait_until(up_or_gone, timeout_s=timeout_s) and is_up

    def _remember(self, state: NodeState, pid: int) -> None:
        with Management(self.management_url) as management:
            version = management.overview().version
        node_files.write_state(self._state_file, state.model_copy(update={"pid": pid, "version": version}))

    def _answers(self) -> bool:
        state = self._state()
        if state is None or not processes.port_answers(state.ports.management):
            return False
        try:
            with Management(self.management_url, timeout_s=3) as management:
                # Another program on our port, even another RabbitMQ, is not us.
                ours = management.overview().node == state.name
        except BrokerError:
            return False
        return ours and processes.port_answers(state.ports.amqp)

    def _process(self) -> FoundProcess | None:
        state = self._state()
        return processes.find(state.pid, marker=self._marker) if state else None

    def _end_all(self, *, grace_s: float) -> None:
        try:
            found = self._process() or processes.search(marker=self._marker)
            if found is not None:
                erlang.end(found.pid, log=self.log, grace_s=grace_s)
            state = self._state()
            if state is not None and self._shared is None:
                erlang.end_port_mapper(state.ports.epmd)
            erlang.remove_alias(self.home, marker=self._marker)
        except PermissionError as error:
            problem = f"the RabbitMQ of {self.home} belongs to another user: stop it as that user"
            raise BrokerUnavailable(problem) from error

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with processes.file_lock(self.home / "node.lock", timeout_s=2 * START_TIMEOUT_S):
                yield
        except TimeoutError as error:
            raise BrokerUnavailable(f"{error}: end that process, then try again") from error
        except PermissionError as error:
            problem = f"{error.filename or self.home} belongs to another user"
            raise BrokerUnavailable(f"{problem}: delete {self.home} as that user, or set LAB_HOME") from error

    def _state(self) -> NodeState | None:
        return node_files.read_state(self._state_file)

    def _known(self) -> NodeState:
        state = self._state()
        if state is None:
            raise BrokerUnavailable(f"no node was ever started in {self.home}: run `python -m labs up`")
        return state

    def _console(self) -> str:
        return processes.tail(self.home / "log" / "console.log", lines=12)

    def _post_mortem(self) -> str:
        return (
            f"RabbitMQ did not start. The end of its log:\n{self._console()}\n{processes.tail(self.log, lines=8)}\n"
            f"Read {self.log.parent}; or delete {self.home} to begin with an empty node; or set LAB_AMQP_URL."
        )

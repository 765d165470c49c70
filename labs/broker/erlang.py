"""The Erlang process of a private node and its port mapper: launched in an environment of our own, ended completely."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from labs import processes
from labs.broker import node_files
from labs.broker.node_files import NodeState
from labs.broker.package import Package
from labs.errors import BrokerUnavailable

#: RabbitMQ logs this when all queues, connections and stores are closed. The management agent then asks for
#: something that Erlang can't answer during a shutdown, and waits for its 5 s timeout (seen with 3.10).
_ALL_CLOSED = b"Management plugin: to stop collect_statistics"
#: After that line: time to end for a node without that mistake, and for Ra's list of queues (a file that is saved
#: half a second after its last change) to reach the disk.
_LAST_BREATH_S = 1.2


def launch(home: Path, state: NodeState, package: Package, *, marker: str) -> int:
    """Start the node of this folder; returns the pid of its Erlang process, which is not up yet."""
    folder = _ascii_alias(home, marker)
    return processes.spawn(
        [package.script, *node_files.arguments(marker)],
        environment=node_files.environment(folder, state, package.script),
        directory=home,
        log=home / "log" / "console.log",
    )


def end(pid: int, *, log: Path, grace_s: float) -> None:
    """End the Erlang process cleanly; by force if it isn't gone after `grace_s`."""
    read_from = log.stat().st_size if log.exists() else 0

    def done() -> bool:
        return not processes.is_alive(pid) or _ALL_CLOSED in _since(log, read_from)

    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        processes.wait_until(done, timeout_s=grace_s, every_s=0.02)
        processes.wait_until(lambda: not processes.is_alive(pid), timeout_s=_LAST_BREATH_S, every_s=0.02)
        processes.end(pid, grace_s=grace_s, signals=[signal.SIGKILL])


def end_port_mapper(port: int) -> None:
    """End the epmd of this port: the node has started it, and leaves it behind."""
    for pid in port_mappers(port):
        processes.end(pid, grace_s=5.0)


def port_mappers(port: int) -> list[int]:
    """The processes that are the epmd of this port: one, or none."""
    return processes.named("epmd", environment=("ERL_EPMD_PORT", str(port)))


def speaks_amqp(port: int) -> bool:
    """Whether the broker greets a client; for a moment of its start it accepts connections only to close them."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as client:
            client.settimeout(3)
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return client.recv(1) == b"\x01"  # the first method frame, Connection.Start
    except OSError:
        return False


def _since(log: Path, position: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(position)
            return file.read()
    except OSError:
        return b""


def remove_alias(home: Path, *, marker: str) -> None:
    """Remove what `launch` has put into /tmp for a folder with accents, if it has."""
    alias = _alias(marker)
    if alias.is_symlink() and alias.readlink() == home:
        alias.unlink()


def _alias(marker: str) -> Path:
    return Path("/tmp") / f"{marker}-{os.getuid()}"  # noqa: S108 (its owner and target are checked)


def _ascii_alias(home: Path, marker: str) -> Path:
    """The folder under a name that RabbitMQ can handle: 3.10 fails at characters beyond ASCII."""
    if str(home).isascii():
        return home
    alias = _alias(marker)
    with contextlib.suppress(FileExistsError):
        alias.symlink_to(home)
    if not alias.is_symlink() or alias.lstat().st_uid != os.getuid() or alias.readlink() != home:
        raise BrokerUnavailable(f"{alias} is in the way: delete it, or move the checkout to a path without accents")
    return alias

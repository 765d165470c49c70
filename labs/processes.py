"""Processes, locks and ports of this machine: started detached, found again, and never confused with strangers.

A process of ours carries a marker, an argument of its command line that names its folder, so that neither a
stale pid file nor a pid that the kernel has given to somebody else can mislead us.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: Below the range from which Linux (32768) and macOS (49152) take ports for outgoing connections: a client that
#: reconnects to a stopped server can otherwise be given the server's own port, and so connect to itself.
PORTS = range(20000, 30000)

Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """A progress callable that says nothing."""


@dataclass(frozen=True)
class FoundProcess:
    """A process that runs, with the moment it was started (seconds since the epoch)."""

    pid: int
    created_s: float

    @property
    def age_s(self) -> float:
        """Seconds since it was started."""
        return time.time() - self.created_s


@contextlib.contextmanager
def file_lock(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold a lock that the kernel releases when its holder dies, however it dies.

    Raises:
        TimeoutError: somebody else held it for all of `timeout_s`.
        OSError: the file can't be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not wait_until(lambda: try_lock(descriptor), timeout_s=timeout_s):
            raise TimeoutError(f"{path} has been locked by another process for {timeout_s:.0f} s")
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> bool:
    """Ask until the answer is yes; False if it never was within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


@contextlib.contextmanager
def in_background(work: Callable[[threading.Event], None], *, name: str) -> Iterator[None]:
    """Have a thread do something for the length of a block: `work` returns soon after its event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1; ports in TIME_WAIT count as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    # A wildcard listener lets some systems bind the same port on loopback: ask whether somebody answers.
    return not port_answers(port)


def port_answers(port: int, *, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def free_ports(count: int, *, seed: str) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; the same seed gives the same ports while they are free."""
    candidates = random.Random(seed).sample(PORTS, k=min(400, len(PORTS)))  # noqa: S311 (spreads checkouts, hides nothing)
    free = [port for port in candidates[: 50 * count] if port_is_free(port)][:count]
    if len(free) < count:
        raise OSError(f"no {count} free ports on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")
    return free


def spawn(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    user: int | None = None,
    group: int | None = None,
) -> int:
    """Start a process that outlives us and the terminal, its output appended to `log`; returns its pid.

    It has a session of its own, so Ctrl-C in our terminal doesn't reach it, and it is not our child, so it can't
    become a zombie that only we could bury. `command` must not fork: its pid is the one returned.
    """
    line = " ".join(shlex.quote(str(part)) for part in command)
    script = f"exec 3>&1; {line} </dev/null >>{shlex.quote(str(log))} 2>&1 3>&- & echo $! >&3"
    identity: dict[str, Any] = {} if user is None else {"user": user, "group": group, "extra_groups": []}
    result = subprocess.run(
        ["/bin/sh", "-c", script],
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        **identity,
    )
    return int(result.stdout)


def find(pid: int | None, *, marker: str) -> FoundProcess | None:
    """The process of that pid, if it runs and is ours."""
    # PostgreSQL writes a negative one while it is being set up.
    if pid is None or pid <= 0:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if marker in process.cmdline():  # a zombie has none
            return FoundProcess(pid, process.create_time())
    return None


def search(*, marker: str) -> FoundProcess | None:
    """Any running process of ours, whoever wrote its pid down or forgot to."""
    for pid in psutil.pids():
        found = find(pid, marker=marker)
        if found is not None and pid != os.getpid():
            return found
    return None


def named(name: str, *, environment: tuple[str, str] | None = None, directory: Path | None = None) -> list[int]:
    """Pids of processes of that program that have this variable in their environment, or this working directory."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() != name or _is_gone(process):
                continue
            if environment is not None and process.environ().get(environment[0]) != environment[1]:
                continue
            if directory is not None and process.cwd() != str(directory):
                continue
            pids.append(process.pid)
    return pids


def end(pid: int, *, grace_s: float, signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL)) -> None:
    """Send each signal in turn until the process is gone; returns when it is.

    Raises:
        ValueError: it is no single process of ours: 0 and -1 would be many, 1 is the machine's first.
        PermissionError: it belongs to another user.
        TimeoutError: it withstood all of them.
    """
    if pid <= 1:
        raise ValueError(f"refusing to end process {pid}")
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for number in signals:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if wait_until(lambda: _is_gone(process), timeout_s=grace_s, every_s=0.02):
                return
        raise TimeoutError(f"process {pid} does not end")


def is_alive(pid: int) -> bool:
    """Whether a process of that pid runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not _is_gone(psutil.Process(pid))
    return False


def _is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        # A killed process is a zombie while its other threads still hold its ports and files.
        zombie = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        return zombie or not process.is_running()
    return True


def tail(path: Path, *, lines: int = 15) -> str:
    """The last lines of a log, or a word that there is none."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return f"(no log at {path})"
    return "\n".join(text.splitlines()[-lines:])

"""What the broker says of itself while a run lasts: its own figures, asked once a second, never the run's.

A broker that doesn't answer for a while leaves a gap, not an error.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from labs.broker import ClusterNode, Management, Queue
from labs.errors import BrokerError

_EVERY_S = 1.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_END_TIMEOUT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class BrokerSample:
    """The broker at one moment, all its nodes together.

    Args:
        at_s: of `time.monotonic`.
        cpu_cores: cores that the broker used since the last sample; None unless it runs on this machine.
        idle_cores: of the machine, cores that nobody used since the last sample; None unless the broker runs on it.
        run_queue: Erlang processes that wait for a core.
        queues: of the virtual host.
    """

    at_s: float
    memory_bytes: int
    memory_alarm: bool
    disk_free_bytes: int
    disk_alarm: bool
    erlang_processes: int
    run_queue: int
    file_descriptors: int
    cpu_cores: float | None
    idle_cores: float | None
    queues: tuple[Queue, ...]


class BrokerWatch:
    """Asks a broker in the background, as long as the block lasts.

    Args:
        management: of the broker; None: there is nothing to ask.
        virtual_host: whose queues are meant.
        every_s: seconds between two samples.
    """

    def __init__(self, management: Management | None, virtual_host: str, *, every_s: float = _EVERY_S) -> None:
        self._management, self._virtual_host, self._every_s = management, virtual_host, every_s
        self.samples: list[BrokerSample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._cpu: _Cpu | None = None

    def __enter__(self) -> Self:
        if self._management is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_END_TIMEOUT_S)

    def _watch(self) -> None:
        assert self._management is not None
        while True:
            with contextlib.suppress(BrokerError):
                self.samples.append(self._sample(self._management))
            if self._over.wait(self._every_s):
                return

    def _sample(self, management: Management) -> BrokerSample:
        nodes, queues = management.nodes(), management.queues(self._virtual_host)
        if self._cpu is None:
            self._cpu = _Cpu(management.address, nodes)
        used, idle = self._cpu.used_and_idle()
        return BrokerSample(
            at_s=time.monotonic(),
            memory_bytes=sum(node.mem_used for node in nodes),
            memory_alarm=any(node.mem_alarm for node in nodes),
            disk_free_bytes=min((node.disk_free for node in nodes), default=0),
            disk_alarm=any(node.disk_free_alarm for node in nodes),
            erlang_processes=sum(node.proc_used for node in nodes),
            run_queue=sum(node.run_queue for node in nodes),
            file_descriptors=sum(node.fd_used for node in nodes),
            cpu_cores=used,
            idle_cores=idle,
            queues=tuple(queues),
        )


class _Cpu:
    """CPU of the broker's processes, as far as they are on this machine."""

    def __init__(self, address: str, nodes: list[ClusterNode]) -> None:
        is_here = urlsplit(address).hostname in _LOOPBACK
        found = [_beam(node.os_pid) for node in nodes if node.os_pid is not None] if is_here else []
        self._processes = [process for process in found if process is not None]
        self._last = self._now()

    def used_and_idle(self) -> tuple[float, float] | tuple[None, None]:
        """Cores that they used since the last call, and cores that nobody used; None if it can't be known."""
        if not self._processes:
            return None, None
        before, self._last = self._last, self._now()
        length_s, used_s, idle_s = (now - then for now, then in zip(self._last, before, strict=True))
        return (max(0.0, used_s) / length_s, max(0.0, idle_s) / length_s) if length_s > 0.1 else (None, None)

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), self._seconds(), psutil.cpu_times().idle

    def _seconds(self) -> float:
        total = 0.0
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def _beam(pid: int) -> psutil.Process | None:
    """The Erlang machine of that pid, unless the pid is of a container's own count and means another here."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.name().startswith("beam"):
            return process
    return None

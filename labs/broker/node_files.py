"""Files and environment of a private node: everything it reads is ours, nothing the machine's or the user's."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

USER = PASSWORD = "careerops"  # noqa: S105 (known to all on purpose: the node listens on loopback only)


#: Quorum queues report their length every 5 s by default: too old to watch anything by.
_ADVANCED = "[{rabbit, [{quorum_tick_interval, 1000}]}].\n"


class Ports(BaseModel):
    """The ports of a node, all on 127.0.0.1."""

    model_config = ConfigDict(frozen=True)

    amqp: int
    management: int
    distribution: int
    epmd: int


class Shared(BaseModel):
    """What the nodes of one cluster have in common: the cookie that lets them talk, and the port of their mapper."""

    model_config = ConfigDict(frozen=True)

    cookie: str
    epmd: int


class NodeState(BaseModel):
    """What is remembered between starts; the ports and the name stay, so clients and data find their way back."""

    model_config = ConfigDict(frozen=True)

    name: str
    ports: Ports
    pid: int | None = None
    version: str | None = None


def read_state(path: Path) -> NodeState | None:
    """What an earlier start wrote down; None if there was none or it can't be read."""
    try:
        return NodeState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_state(path: Path, state: NodeState) -> None:
    """Replace the file at once, so that no reader ever sees half of it."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(state.model_dump_json(indent=2))
    draft.replace(path)


def write_files(folder: Path, ports: Ports, *, cookie: str | None = None) -> None:
    """Write configuration, plugins and cookie afresh; data and logs are left alone. One's own cookie is kept."""
    for name in ("data", "log", "conf.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "rabbitmq.conf").write_text(configuration(ports))
    # Both would otherwise be looked for under /etc/rabbitmq.
    (folder / "advanced.config").write_text(_ADVANCED)
    (folder / "rabbitmq-env.conf").write_text("")
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    _write_cookie(folder / ".erlang.cookie", cookie)


def configuration(ports: Ports) -> str:
    """rabbitmq.conf, in settings that 3.10 to 4.3 know."""
    return f"""\
# Written anew at every start of the private node.
listeners.tcp.local = 127.0.0.1:{ports.amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {ports.management}

# The first start makes this user instead of guest.
default_user = {USER}
default_pass = {PASSWORD}
default_user_tags.administrator = true

# A laptop's disk may be nearly full; the default would be fine, but a load test should not trip over it.
disk_free_limit.absolute = 50MB
# The default of 512 MiB is also that much memory and disk for a node that holds a few queues.
raft.wal_max_size_bytes = 67108864
# Figures in the management API and UI that are a second old instead of five.
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.global.hour = 60
management.sample_retention_policies.global.day = 1200
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.basic.hour = 60
management.sample_retention_policies.detailed.10 = 1

log.file = node.log
log.file.level = info
log.file.rotation.size = 10485760
log.file.rotation.count = 3
log.console = false
"""


def arguments(marker: str) -> list[str]:
    """What the server script hands on to Erlang, after the package's own flags (busy waiting is off there already)."""
    schedulers = min(8, max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
    return [
        *("+S", f"{schedulers}:{schedulers}", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "+fnu"),
        *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
        *("-lab_home", marker),
    ]


def environment(folder: Path, state: NodeState, script: Path) -> dict[str, str]:
    """The whole environment of the node: no RABBITMQ_*, ERL_* or LAB_* variable of the user gets through."""
    path = [str(script.parent), "/opt/homebrew/bin", "/usr/local/bin", "/usr/local/sbin"]
    return {
        "PATH": os.pathsep.join([*path, "/usr/bin", "/usr/sbin", "/bin", "/sbin"]),
        "HOME": str(folder),
        "TMPDIR": tempfile.gettempdir(),
        "LC_ALL": "C.UTF-8",
        "RABBITMQ_NODENAME": state.name,
        "RABBITMQ_USE_LONGNAME": "false",
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_DIST_PORT": str(state.ports.distribution),
        "ERL_EPMD_PORT": str(state.ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": str(folder / "log" / "erl_crash.dump"),
        # The server script then becomes the Erlang process instead of waiting for it as a second process.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _write_cookie(path: Path, cookie: str | None) -> None:
    # Erlang refuses a cookie that others may read, and an empty one.
    if cookie or not path.is_file() or len(path.read_bytes().strip()) < 16:
        path.unlink(missing_ok=True)
        path.write_text(cookie or secrets.token_hex(20))
    path.chmod(0o400)

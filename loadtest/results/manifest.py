"""What a run was made of, so that its numbers can be believed, compared and made again."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

import labs
from labs.broker import redacted
from loadtest.engine.result import Result
from loadtest.place import Place

_LIBRARIES = ("aio-pika", "numpy", "pamqp", "pandas", "pika", "pyarrow")


def manifest_of(result: Result, *, name: str, place: Place, command: Sequence[str]) -> dict[str, Any]:
    """Name, start, arguments, versions, machine."""
    return {
        "name": name,
        "started": datetime.fromtimestamp(result.started_at, UTC).isoformat(timespec="milliseconds"),
        "partial": result.partial,
        "command": list(command),
        "arguments": result.plan.as_dict(),
        "seed": result.plan.seed,
        "run": result.run,
        "broker": {"url": redacted(place.url), "virtual_host_of_its_own": place.is_own},
        "versions": versions(place),
        "machine": machine(),
    }


def versions(place: Place) -> dict[str, str]:
    """Of the broker and of everything that made and measured the load."""
    return {
        "rabbitmq": place.rabbitmq,
        "erlang": place.erlang,
        "python": platform.python_version(),
        "rabbitmq-lab": labs.__version__,  # the image has its folders alone, and nothing that is installed
        **{name: version(name) for name in _LIBRARIES},
    }


def machine() -> dict[str, Any]:
    """The computer that made the load; the broker may be on it too."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

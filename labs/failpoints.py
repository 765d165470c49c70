"""Places where a process can be told to fail, so that failure tests hit the exact moment.

`LAB_FAILPOINTS` is a comma-separated list of `name=action[@n][~text]`: at the n-th time (first if not
given) that the place `name` is reached with `text` in its context, do `action`: `kill` (SIGKILL to
this process, as the kernel would) or `stop` (SIGSTOP). Without the setting a place costs one lookup.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass

from labs.errors import ConfigurationError

_FORM = re.compile(r"(?P<name>[a-z_.]+)=(?P<action>kill|stop)(?:@(?P<nth>\d+))?(?:~(?P<text>.+))?")
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass
class _Failpoint:
    action: str
    text: str
    remaining: int


_armed: dict[str, _Failpoint] = {}


def arm(spec: str) -> None:
    """Arm the failpoints of a specification; an empty one disarms all.

    Raises:
        ConfigurationError: the specification has not the form above.
    """
    _armed.clear()
    for part in filter(None, spec.split(",")):
        match = _FORM.fullmatch(part.strip())
        if match is None:
            raise ConfigurationError(f"LAB_FAILPOINTS: {part!r} is not name=kill|stop[@n][~text]")
        _armed[match["name"]] = _Failpoint(match["action"], match["text"] or "", int(match["nth"] or 1))


def reach(name: str, context: str = "") -> None:
    """Say that a place was reached; returns unless a test armed it."""
    point = _armed.get(name)
    if point is None or point.text not in context:
        return
    point.remaining -= 1
    if point.remaining == 0:
        os.kill(os.getpid(), _SIGNALS[point.action])

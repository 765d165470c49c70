"""How kernels of checks and tests are reached: over files, as a port that is free now may be taken a moment later."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path


def own_address() -> dict[str, str]:
    """Traits of a kernel manager that give its kernel an address which no other one has.

    By itself Jupyter looks for free ports, frees them, and a second later the kernel binds them. On a machine that
    opens many connections somebody else has one of them by then, and the kernel ends.
    """
    # A socket's path has room for about 100 bytes: a home's runtime folder, as Jupyter would take, can be too long.
    return {"transport": "ipc", "ip": str(Path(tempfile.gettempdir()) / f"lab-kernel-{secrets.token_hex(8)}")}

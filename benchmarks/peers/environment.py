"""An environment of their own for the peers, made on demand and made again when its requirements change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from labs.errors import LabError
from labs.settings import load_settings

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_TIMEOUT_S = 300.0


class PeersMissing(LabError):
    """The peers can't be installed: the package index can't be reached, or has them no more."""


def environment() -> Path:
    """The folder of the peers' programs; installs them if need be.

    Raises:
        PeersMissing: they can't be installed; says why in one line.
    """
    home = load_settings().home / "peers"
    marker, wanted = home / "installed.txt", REQUIREMENTS.read_text()
    if not (marker.exists() and marker.read_text() == wanted):
        shutil.rmtree(home, ignore_errors=True)
        _uv("venv", "--quiet", "--python", sys.executable, str(home))
        _uv("pip", "install", "--quiet", "--requirements", str(REQUIREMENTS), home=home)
        marker.write_text(wanted)
    return home / "bin"


def _uv(*arguments: str, home: Path | None = None) -> None:
    uv = Path(sys.executable).with_name("uv")
    variables = {**os.environ, **({"VIRTUAL_ENV": str(home)} if home else {})}
    try:
        done = subprocess.run(
            [uv, *arguments], check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, env=variables
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersMissing(f"the peers can't be installed: {error}") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise PeersMissing(f"the peers can't be installed: {said[:200]}")

"""up, down, demo, lab: everything at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from labs.commands import shared
from labs.processes import Progress, free_ports, port_is_free
from labs.service.tokens import make_token
from labs.settings import ROOT, get_settings
from labs.stack.demo import run_demo
from labs.stack.lab import Lab

Workers = Annotated[int, typer.Option(min=1, max=20, help="Worker processes.")]

_FIRST_NOTEBOOK = "notebooks/00_start.ipynb"
_JUPYTER_GRACE_S = 20.0


def up(workers: Workers = 1) -> None:
    """Start broker, database, stub model, API, relay and workers, and leave them running.

    Example: python -m labs up --workers 3
    """
    lab = _lab()
    if not lab.up(workers=workers):
        shared.err.print("it runs already: `python -m labs status` shows it")
    _print_urls(lab)


def down() -> None:
    """End everything that `up` started. Data stays in .lab/; `make clean` deletes it.

    Example: python -m labs down
    """
    if not _lab().down():
        shared.err.print("nothing ran")


def demo(workers: Workers = 1) -> None:
    """Start everything, send one cover letter through, show its way, and end everything.

    A lab that runs already is used, and left running.

    Example: python -m labs demo
    """
    with _running(workers) as lab:
        _demo(lab)


def lab_(
    workers: Workers = 1,
    port: Annotated[int, typer.Option(help="JupyterLab's port; the next free one if it is taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Start everything, show a demo, and open JupyterLab; Ctrl-C ends all of it.

    Example: python -m labs lab --no-browser
    """
    with _running(workers) as lab:
        _demo(lab)
        free = port if port_is_free(port) else free_ports(1, seed=str(ROOT))[0]
        # A user's own token is kept; else a new one, since whoever has it can run code here.
        token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(16)
        _print_urls(lab, jupyter=f"http://127.0.0.1:{free}/lab/tree/{_FIRST_NOTEBOOK}?token={token}")
        _jupyter(free, token, browser=browser)


@contextlib.contextmanager
def _running(workers: int) -> Iterator[Lab]:
    """The lab for the length of a block: what didn't run before is ended, however the block or the start ends."""
    shared.end_in_order()
    # Whoever starts us in the background has SIGINT ignored for us, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lab = _lab()
    ran_before = bool(lab.records())
    try:
        lab.up(workers=workers)
        yield lab
    finally:
        if not ran_before:
            # A second Ctrl-C must not leave half of it behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            lab.down()


def _jupyter(port: int, token: str, *, browser: bool) -> None:
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--ip=127.0.0.1"]
    # Given the notebook as a file, its folder would be all that is shown, and no printed address would be right.
    command += [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{_FIRST_NOTEBOOK}"]
    command += ["--allow-root", "--log-level=WARN"] + ([] if browser else ["--no-browser"])
    # Its own session: Ctrl-C is ours, and Jupyter would ask before it obeys.
    environment = {**os.environ, "JUPYTER_TOKEN": token}  # not an argument: those are seen by all users
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        shared.err.print("\nending everything")
    else:
        if status != 0:
            raise shared.fail(f"JupyterLab ended with exit code {status}: what it says stands above")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_JUPYTER_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _demo(lab: Lab) -> None:
    parts = lab.parts()
    api_url = parts.url("api") if parts else None
    if parts is None or api_url is None:
        raise shared.fail("the lab runs only in part: `python -m labs down`, then try again")
    token = make_token(get_settings(), user_id=1, email="you@example.com")
    run_demo(shared.out, api_url=api_url, database_url=parts.database_url, token=token)


def _print_urls(lab: Lab, *, jupyter: str | None = None) -> None:
    parts = lab.parts()
    if parts is None:
        return
    stub_url = parts.url("stub")
    rows = {
        "JupyterLab": jupyter,
        "API": f"{parts.url('api')}/docs",
        "RabbitMQ UI": _ui(parts.broker.management_url),
        "stub model": f"{stub_url}/dials and {stub_url}/ledger" if stub_url else None,
        "logs": str(lab.log_folder),
        "a token": "python -m labs token",
    }
    for name, text in rows.items():
        if text:
            shared.err.print(f"  {name:<12} {escape(text)}", soft_wrap=True)  # an address must survive copying


def _ui(management_url: str) -> str:
    parts = urlsplit(management_url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    # The private node and Compose are on loopback with documented credentials; others' are not ours to show.
    known = parts.username == "careerops"
    return f"{address} ({parts.username} / {parts.password})" if known else address


def _lab() -> Lab:
    return Lab(get_settings(), progress=_progress())


def _progress() -> Progress:
    """Prints each step with the seconds since the start."""
    started = time.monotonic()

    def say(text: str) -> None:
        shared.err.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {escape(text)}")

    return say

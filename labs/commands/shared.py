"""What all commands share: how they print, where they look, and how they fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from labs.errors import LabError
from labs.settings import Settings, get_settings
from labs.stack.lab import Lab, Parts

#: For results; progress and errors go to standard error, so that results can be piped.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

FAILED = 1
NOT_RUNNING = 3


def progress() -> Callable[[str], None]:
    """Prints each step with the seconds since the start."""
    started = time.monotonic()

    def say(text: str) -> None:
        err.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {text}")

    return say


def fail(message: str, *, code: int = FAILED) -> typer.Exit:
    """Print an error; to be raised."""
    err.print("[red]error:[/red]", end=" ")
    err.print(message, markup=False)
    return typer.Exit(code)


def lab(settings: Settings | None = None) -> Lab:
    """This checkout's lab, with progress shown."""
    return Lab(settings or get_settings(), progress=progress())


def running_parts() -> Parts:
    """What runs.

    Raises:
        typer.Exit: nothing does; says how to start it.
    """
    parts = lab().parts()
    if parts is None:
        raise fail("the lab does not run: start it with `python -m labs up`", code=NOT_RUNNING)
    return parts


def guarded(app: Callable[..., Any]) -> int:
    """Run the command line; the lab's errors become one line and an exit code."""
    try:
        app(standalone_mode=True)
    except LabError as error:
        return fail(str(error)).exit_code
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except KeyboardInterrupt:
        return 130
    return 0

"""What all commands share: how they print, and how they fail."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from labs.errors import LabError

#: Nobody folds a pipe to the width of a screen.
_PIPE_COLUMNS = 160

#: Of a job or a message; it must stay whole to be copied.
ID_COLUMNS = 36

#: For results; progress and errors go to standard error, so that results can be piped.
out = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
err = Console(stderr=True, highlight=False)

FAILED = 1
NOT_RUNNING = 3


def fail(message: str, *, code: int = FAILED) -> typer.Exit:
    """Print an error; to be raised."""
    # Not folded to the width of a terminal: one error is one line, also in a log.
    err.print("[red]error:[/red]", end=" ", soft_wrap=True)
    err.print(message, markup=False, soft_wrap=True)
    return typer.Exit(code)


def end_in_order() -> None:
    """From now on SIGTERM, or a terminal that is closed, ends the command as Ctrl-C does: with all that it started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda caught, _: sys.exit(128 + caught))


def guarded(app: Callable[..., Any]) -> int:
    """Run the command line; the lab's errors become one line and an exit code."""
    # What libraries would warn of is part of those errors. (Processes set up their logs later, and fully.)
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app(standalone_mode=True)
    except LabError as error:
        return fail(str(error)).exit_code
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except KeyboardInterrupt:
        return 130
    return 0

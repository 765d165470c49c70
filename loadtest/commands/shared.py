"""What all commands share: how they print, what their exit codes mean, and how they fail."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from labs.errors import LabError
from labs.processes import Progress
from loadtest.engine.plan import PlanError
from loadtest.engine.workers import RunFailed

#: All is well: nothing lost, the objective met, an answer found.
FINE = 0
#: An answer that a script should notice: each command's help says which.
NOTICE = 1
#: It could not be done; one line says why and what to do.
COULD_NOT = 2
#: What a shell gives for Ctrl-C; the results so far are kept.
INTERRUPTED = 130

#: Nobody folds a pipe to the width of a screen.
_PIPE_COLUMNS = 160

#: For results; progress and errors go to standard error, so that results can be piped.
out = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
err = Console(stderr=True, highlight=False)

Results = Annotated[Path, typer.Option(help="Folder of all results; this one gets a folder of its own in it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]


def guarded(app: Callable[..., Any]) -> int:
    """Run the command line; what can go wrong becomes one line and an exit code."""
    logging.getLogger().addHandler(logging.NullHandler())
    # Whoever starts us in the background has SIGINT ignored for us, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except (LabError, PlanError, RunFailed) as error:
        return fail(str(error))
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else COULD_NOT
    return FINE


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C where no result can be kept any more, or yet, ends with a word and the code that shells use."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("interrupted: there is no result, and nothing is kept")
        raise typer.Exit(INTERRUPTED) from None


def tell_folder(folder: Path, facts: Mapping[str, Any] | None) -> None:
    """Where the results are: a line for people, or one object with all facts."""
    if facts is None:
        out.print(f"results  {folder}", markup=False, soft_wrap=True)
    else:
        out.print_json(json.dumps({**facts, "folder": str(folder)}))


def command_line() -> list[str]:
    """What was typed, whoever ran it from where."""
    return ["python", "-m", "loadtest", *sys.argv[1:]]


def fail(message: str) -> int:
    """Print an error; returns the exit code."""
    # Not folded to the width of a terminal: one error is one line, also in a log.
    err.print("[red]error:[/red]", end=" ", soft_wrap=True)
    err.print(message, markup=False, soft_wrap=True)
    return COULD_NOT


def progress() -> Progress:
    """Prints each step with the seconds since the start."""
    started = time.monotonic()

    def say(text: str) -> None:
        err.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {escape(text)}", soft_wrap=True)

    return say

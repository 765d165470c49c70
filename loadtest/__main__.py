"""The command line: `python -m loadtest --help`.

Exit codes: 0 fine, 1 something a script should notice (each command says what), 2 could not be done, 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from loadtest.commands import shared

#: Each command and its place in `loadtest.commands`, in the order of the help.
_COMMANDS = {
    "run": "run.run",
    "capacity": "capacity.capacity",
    "compare": "compare.compare_",
    "workers": "workers.workers",
    "report": "report.report",
}


def command_line() -> typer.Typer:
    """The commands."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Load tests of a RabbitMQ that say what limited them.",
    )
    app.callback()(_nothing)  # or a single command would not be asked for by its name
    for name, place in _COMMANDS.items():
        module, _, attribute = place.partition(".")
        app.command(name)(getattr(import_module(f"loadtest.commands.{module}"), attribute))
    return app


def _nothing() -> None:
    pass


if __name__ == "__main__":
    sys.exit(shared.guarded(command_line()))

"""The command line: `python -m labs --help`.

Exit codes: 0 done, 1 failed (one line says why and what to do), 2 wrong usage, 3 the lab does not run.
Trials and exercises have their own: 0 valid, 1 invalid, 2 unknown.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from labs.commands import shared

#: Each command and its place in `labs.commands`, in the order of the help.
_COMMANDS = {
    "up": "lifecycle.up",
    "down": "lifecycle.down",
    "status": "status.status",
    "demo": "lifecycle.demo",
    "lab": "lifecycle.lab_",
    "api": "processes.api",
    "relay": "processes.relay",
    "worker": "processes.worker",
    "peers": "processes.peers",
    "stub": "processes.stub",
    "token": "processes.token",
    "jobs": "jobs.jobs",
    "dlq": "dlq.app",
    "trial": "trial.trial",
    "exercise": "exercise.exercise",
    "asyncapi": "asyncapi.asyncapi",
}


def command_line(arguments: list[str]) -> typer.Typer:
    """The commands, or only the one that is asked for: a relay needn't import what shows pictures of a trace."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="RabbitMQ Lab: learn messaging by running it, breaking it and measuring it.",
    )
    app.callback()(_nothing)  # or a single command would not be asked for by its name
    asked = arguments[0] if arguments and arguments[0] in _COMMANDS else None
    for name, place in _COMMANDS.items():
        if asked in {None, name}:
            _add(app, name, place)
    return app


def _nothing() -> None:
    pass


def _add(app: typer.Typer, name: str, place: str) -> None:
    module, _, attribute = place.partition(".")
    command = getattr(import_module(f"labs.commands.{module}"), attribute)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


if __name__ == "__main__":
    sys.exit(shared.guarded(command_line(sys.argv[1:])))

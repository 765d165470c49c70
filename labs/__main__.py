"""The command line: `python -m labs --help`.

Exit codes: 0 done, 1 failed (one line says why and what to do), 2 wrong usage, 3 the lab does not run.
"""

from __future__ import annotations

import sys

import typer

from labs.commands import dlq, jobs, lifecycle, processes, shared

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="RabbitMQ Lab: learn messaging by running it, breaking it and measuring it.",
)

for command in (lifecycle.up, lifecycle.down, lifecycle.status, lifecycle.demo):
    app.command()(command)
app.command("lab")(lifecycle.lab_)
for command in (processes.api, processes.relay, processes.worker, processes.stub, processes.token):
    app.command()(command)
app.command("jobs")(jobs.jobs)
app.add_typer(dlq.app, name="dlq")


if __name__ == "__main__":
    sys.exit(shared.guarded(app))

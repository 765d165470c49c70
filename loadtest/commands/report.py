"""report: a page about results that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtest.commands import shared
from loadtest.results import ResultsError, load_all
from loadtest.results.report import report_html


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of results; several are drawn over one another.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="The page; default: report.html in the first folder.")
    ] = None,
) -> None:
    """Write one HTML page about one or several results: plots, tables, verdicts. It opens without a network.

    Exit codes: 0 written; 2 a folder is not that of a whole run, or the page can't be written.

    Examples:

        python -m loadtest report results/20261124T160000Z-run

        python -m loadtest report results/*-classic results/*-quorum --output compared.html
    """
    runs = [run for folder in folders for run in load_all(folder)]
    page = output or folders[0] / "report.html"
    try:
        page.write_text(report_html(runs), encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{page} can't be written: {error.strerror or error}") from error
    shared.out.print(str(page), markup=False, soft_wrap=True)

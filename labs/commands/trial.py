"""trial: a system under load and faults, and whether it kept its promises."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from labs.broker import install_package
from labs.commands import shared
from labs.errors import LabError
from labs.processes import Progress, file_lock
from labs.settings import get_settings
from labs.trial import folder
from labs.trial.checker import Result, Verdict, check
from labs.trial.faults import FAULTS, Fault
from labs.trial.reliability import tried, write_page
from labs.trial.runner import Trial, run
from labs.trial.servers import Servers
from labs.trial.subjects import SUBJECTS, Subject
from labs.trial.targets import COMPOSE, NODE, TARGETS, servers_on

_ALL = "all"
#: 1 says that a promise was broken, and nothing else does.
EXIT = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}
_LOCK_TIMEOUT_S = 1.0

System = Annotated[str, typer.Argument(help=f"{', '.join(SUBJECTS)}, or {_ALL}.")]


def trial(
    system: System = _ALL,
    *,
    faults: Annotated[str, typer.Option(help=f"Names from --list with commas, or {_ALL}.")] = _ALL,
    on: Annotated[str, typer.Option(help=f"{', '.join(TARGETS)}: one node, three, or containers.")] = NODE,
    seed: Annotated[int, typer.Option(help="Decides the order of the faults.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Of load, at least.")] = 30.0,
    each: Annotated[bool, typer.Option("--each", help="A trial of its own for each fault.")] = False,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Trials of each, with one seed more each time.")] = 1,
    results: Annotated[Path, typer.Option(help="Where each trial gets a folder.")] = Path("results"),
    document: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of all trials that --results holds.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the faults, and end.")] = False,
    replay: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Check an old history again.")] = None,
) -> None:
    """Run a system under load and faults on a broker and a database of its own, and check its history from outside.

    Exit code 0: valid, every promise was kept. 1: invalid, one was broken. 2: unknown, nothing is proven; also wrong
    usage, and a trial that could not be run.

    Example: python -m labs trial cover-letters --faults worker-kill,broker-restart --seed 7 --seconds 30

    Example: python -m labs trial all --each

    Example: python -m labs trial all --runs 3 --document docs/reliability.md

    Example: python -m labs trial cover-letters --on cluster --faults leader-kill,majority-lost

    Example: python -m labs trial --replay results/20261128T201500Z-trial-cover-letters
    """
    if list_:
        _print_faults()
        return
    try:
        if replay:
            done = [_replayed(replay)]
        else:
            seeds = range(seed, seed + runs)
            done = _run_all(_chosen(system, faults, on, each=each), on, seeds, seconds, results)
        if document:
            write_page(document, tried(results), command=_command())
    except LabError as error:
        raise shared.fail(str(error), code=EXIT[Verdict.UNKNOWN]) from error
    if len(done) > 1:
        _print_table(done)
    raise typer.Exit(EXIT[_worst(done)])


Chosen = list[tuple[Subject, Sequence[Fault]]]
Done = list[tuple[folder.Manifest, Result]]


def _worst(done: Done) -> Verdict:
    verdicts = {result.verdict for _, result in done}
    return next((each for each in (Verdict.INVALID, Verdict.UNKNOWN) if each in verdicts), Verdict.VALID)


def _chosen(system: str, faults: str, on: str, *, each: bool) -> Chosen:
    """The trials to run."""
    if on not in TARGETS:
        raise typer.BadParameter(f"there are {', '.join(TARGETS)}", param_hint="--on")
    if system not in {*SUBJECTS, _ALL}:
        raise typer.BadParameter(f"there are {', '.join(SUBJECTS)} and {_ALL}", param_hint="SYSTEM")
    subjects = list(SUBJECTS.values()) if system == _ALL else [SUBJECTS[system]]
    named = [name for name in faults.split(",") if name]
    unknown = [name for name in named if name not in {*FAULTS, _ALL}]
    if unknown or not named:
        raise typer.BadParameter(f"there is no fault {', '.join(unknown)!r}: see --list", param_hint="--faults")
    wanted = list(FAULTS.values()) if _ALL in named else [FAULTS[name] for name in dict.fromkeys(named)]
    elsewhere = [fault for fault in wanted if on not in fault.targets]
    if elsewhere and _ALL not in named:
        where = "; ".join(f"{fault.name} is for {_targets(fault)}" for fault in elsewhere)
        raise typer.BadParameter(f"not on {on}: {where}", param_hint="--faults")
    wanted = [fault for fault in wanted if fault not in elsewhere]
    chosen: Chosen = []
    for subject in subjects:
        met = [fault for fault in wanted if fault.applies(subject)]
        if _ALL not in named and system != _ALL and len(met) < len(wanted):
            missing = ", ".join(fault.name for fault in wanted if fault not in met)
            raise typer.BadParameter(f"{subject.name} has nothing that {missing} could break", param_hint="--faults")
        chosen += [(subject, [fault]) for fault in met] if each else [(subject, met)] if met else []
    return chosen


def _command() -> str:
    """As it was typed, to be typed again."""
    return f"python -m labs {shlex.join(sys.argv[1:])}"


def _run_all(chosen: Chosen, on: str, seeds: Sequence[int], seconds: float, results: Path) -> Done:
    progress = progress_with_seconds()
    done: Done = []
    with _servers(on, progress) as servers:
        for seed, (subject, faults) in itertools.product(seeds, chosen):
            path = _fresh(results, subject, faults)
            what = Trial(subject=subject, faults=faults, seed=seed, seconds=seconds, folder=path, on=on)
            try:
                run(what, servers, progress=progress)
            except LabError as error:
                if len(chosen) * len(seeds) == 1 or not (path / folder.MANIFEST).exists():
                    raise
                shared.err.print(f"{subject.name}: {error}", markup=False, soft_wrap=True)  # and go on with the others
            done.append(_replayed(what.folder))
    return done


def _fresh(results: Path, subject: Subject, faults: Sequence[Fault]) -> Path:
    only = f"-{faults[0].name}" if len(faults) == 1 else ""
    return results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-trial-{subject.name}{only}"


def _replayed(path: Path) -> tuple[folder.Manifest, Result]:
    """Check the history of a folder, write verdict, pictures and report into it, and say what came out."""
    from labs.display.trial_report import trial_charts, trial_html  # noqa: PLC0415 - it takes a second to import

    manifest, events = folder.load(path)
    began = time.monotonic()
    result = check(events, manifest.promises)
    took_s = time.monotonic() - began
    folder.write_verdict(path, result)
    charts = trial_charts(events, manifest)
    for name, chart in charts.items():
        chart.save(path / f"{name}.png")
    page = trial_html(result, manifest, events, list(charts.values()))
    (path / "report.html").write_text(page, encoding="utf-8")
    shared.err.print(f"{len(events):,} events checked in {took_s:.2f} s; {path / 'report.html'}", soft_wrap=True)
    _print_result(manifest, result)
    return manifest, result


def _print_result(manifest: folder.Manifest, result: Result) -> None:
    shared.out.print(f"{manifest.system}: {result.verdict}: {result.why}", markup=False, soft_wrap=True)
    counts = ", ".join(f"{number} {what}" for what, number in result.counts.items())
    shared.out.print(counts, markup=False, soft_wrap=True)
    if result.anomalies:
        found = ", ".join(f"{number} {what}" for what, number in result.anomalies.items())
        shared.out.print(f"anomalies: {found}", markup=False, soft_wrap=True)
    for line in result.story:
        shared.out.print(f"  {line}", markup=False, soft_wrap=True)
    if result.hint:
        shared.out.print(f"hint: {result.hint}", markup=False, soft_wrap=True)


def _print_table(done: Done) -> None:
    table = Table("system", "faults", "seed", "verdict", "accepted", "lost", "unexpected", "duplicated", "recovered")
    for manifest, result in done:
        faults = manifest.faults[0] if len(manifest.faults) == 1 else str(len(manifest.faults))
        numbers = [
            str(result.counts.get(name, "")) for name in ("accepted", "lost", "unexpected", "duplicated", "recovered")
        ]
        table.add_row(manifest.system, faults, str(manifest.seed), result.verdict.value, *numbers)
    shared.out.print(table)


def _print_faults() -> None:
    table = Table("fault", "how it begins", "how it heals", "systems", "on")
    for fault in FAULTS.values():
        systems = [subject.name for subject in SUBJECTS.values() if fault.applies(subject)]
        of = _ALL if len(systems) == len(SUBJECTS) else ", ".join(systems)
        table.add_row(fault.name, fault.begins, fault.heals, of, _targets(fault))
    shared.out.print(table)


def _targets(fault: Fault) -> str:
    return _ALL if fault.targets >= set(TARGETS) else ", ".join(each for each in TARGETS if each in fault.targets)


@contextlib.contextmanager
def _servers(on: str, progress: Progress) -> Iterator[Servers]:
    """The trial's own broker and database for the length of a block; ended however it ends."""
    shared.end_in_order()
    home = get_settings().home / "trial"
    with contextlib.ExitStack() as ending:
        try:
            ending.enter_context(file_lock(home / "trial.lock", timeout_s=_LOCK_TIMEOUT_S))
        except TimeoutError as error:
            raise LabError(f"another trial runs in {home}: wait until it ends") from error
        if on != COMPOSE:
            install_package(get_settings(), progress=progress)
        servers = servers_on(on, home)
        progress(f"Starting broker and database: {on}")
        ending.callback(servers.node.stop)
        servers.node.start()
        ending.callback(servers.postgres.stop)
        servers.postgres.start()
        yield servers


def progress_with_seconds() -> Progress:
    """Prints each step with the seconds since the start."""
    started = time.monotonic()

    def say(text: str) -> None:
        shared.err.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {escape(text)}", soft_wrap=True)

    return say

"""Pictures of a trial, drawn from its history alone: what went on while what was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labs.display.chart import MARKERS, Chart, figure, finished
from labs.display.charts import panels
from labs.display.palette import ORANGE, SERIES
from labs.trial import operations as op
from labs.trial.history import Event

_BUCKET_S = 0.5
_MOST_NAMES = 4

Points = list[tuple[float, float]]
Spans = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class FaultSeen:
    """A fault as it was met, in seconds since the start of the trial."""

    name: str
    begun_s: float
    healed_s: float
    proof: str


def faults_seen(events: Sequence[Event]) -> list[FaultSeen]:
    """The faults of a history in order; one that was not healed lasts until the end."""
    start_ns, end_ns = _span(events)
    found: list[FaultSeen] = []
    begun_ns, proof = 0, ""
    for event in (event for event in events if event.operation == op.FAULT):
        if event.kind == "invoke":
            begun_ns, proof = event.at_ns, ""
            found.append(FaultSeen(event.value, (begun_ns - start_ns) / 1e9, (end_ns - start_ns) / 1e9, ""))
        else:
            proof = event.error or proof
            healed_ns = event.at_ns if event.kind == "ok" else end_ns
            found[-1] = FaultSeen(event.value, (begun_ns - start_ns) / 1e9, (healed_ns - start_ns) / 1e9, proof)
    return found


def trial_timeline(events: Sequence[Event], *, title: str) -> Chart:
    """Requests, effects and what was under way over time, with the faults shaded."""
    start_ns, _ = _span(events)
    asked = _moments(events, start_ns, op.SUBMIT, "invoke")
    accepted = _moments(events, start_ns, op.SUBMIT, "ok")
    effects = _moments(events, start_ns, op.EFFECT, "ok")
    retries = [(e.at_ns - start_ns) / 1e9 for e in events if e.operation == op.DELIVER and e.value == op.REDELIVERED]
    end_s = max([*asked, *accepted, *effects, 1.0])
    series = {
        "accepted requests per second": _rate(accepted, end_s),
        "tries of clients per second": _rate(asked, end_s),
        "effects per second": _rate(effects, end_s),
        "deliveries again per second": _rate(retries, end_s),
    }
    return panels(series, title=title, shades=_shades(events))


def trial_latency(events: Sequence[Event], *, title: str) -> Chart:
    """How long each request took from its first try: until it was accepted, and until its message had its effect."""
    waits = _waits(events)
    with figure(4.2, title=title) as (drawn, axes):
        for label, (begun_s, healed_s) in _shades(events).items():
            axes.axvspan(begun_s, healed_s, color=ORANGE, alpha=0.18, linewidth=0)
            axes.annotate(
                label, (begun_s, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), fontsize=7,
                textcoords="offset points", va="top", rotation=90,
            )  # fmt: skip
        for number, (name, points) in enumerate(waits.items()):
            axes.plot(
                [x for x, _ in points], [max(y, 0.001) for _, y in points], MARKERS[number], linestyle="",
                markersize=3.5, alpha=0.7, markeredgewidth=0, color=SERIES[number + 1], label=name,
            )  # fmt: skip
        if any(waits.values()):  # without a number there is no logarithm
            axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("seconds since the start; each mark is one request, at its first try")
        axes.set_ylabel("s, logarithmic")
        drawn.legend(loc="outside lower left", ncols=2)
        return finished(drawn, _in_words(waits, title))


def _waits(events: Sequence[Event]) -> dict[str, Points]:
    start_ns, _ = _span(events)
    first: dict[str, int] = {}
    accepted: dict[str, Event] = {}
    messages: dict[str, str] = {}
    done: dict[str, int] = {}
    for event in events:
        if event.operation == op.SUBMIT and event.kind == "invoke":
            first.setdefault(event.request, event.at_ns)
        elif event.operation == op.SUBMIT and event.kind == "ok":
            accepted[event.request] = event
        elif event.operation == op.OUTBOX and event.value == op.REQUEST:
            messages[event.job] = event.message
        elif event.operation == op.EFFECT:
            done[event.message] = max(event.at_ns, done.get(event.message, 0))
    until: dict[str, Points] = {"until it was accepted": [], "until its message had its effects": []}
    for request, answer in accepted.items():
        at_s = (first[request] - start_ns) / 1e9
        until["until it was accepted"].append((at_s, (answer.at_ns - first[request]) / 1e9))
        ended_ns = done.get(messages.get(answer.job, ""))
        if ended_ns is not None:
            until["until its message had its effects"].append((at_s, (ended_ns - first[request]) / 1e9))
    return until


def _span(events: Sequence[Event]) -> tuple[int, int]:
    return min((e.at_ns for e in events), default=0), max((e.at_ns for e in events), default=0)


def _moments(events: Iterable[Event], start_ns: int, operation: str, kind: str) -> list[float]:
    return [(e.at_ns - start_ns) / 1e9 for e in events if e.operation == operation and e.kind == kind]


def _rate(moments: Sequence[float], end_s: float) -> Points:
    buckets = Counter(int(at_s / _BUCKET_S) for at_s in moments)
    return [(number * _BUCKET_S, buckets[number] / _BUCKET_S) for number in range(int(end_s / _BUCKET_S) + 1)]


def _shades(events: Sequence[Event]) -> Spans:
    """By number, as the report's table has them, and by name if that can be read."""
    faults = faults_seen(events)
    return {
        f"{number} {fault.name}" if len(faults) <= _MOST_NAMES else str(number): (fault.begun_s, fault.healed_s)
        for number, fault in enumerate(faults, start=1)
    }


def _in_words(waits: Mapping[str, Points], title: str) -> str:
    lines = [title]
    for name, points in waits.items():
        longest = max((wait for _, wait in points), default=0.0)
        lines.append(f"{name}: {len(points)} requests, longest {longest:.2f} s")
    return "\n".join(lines)

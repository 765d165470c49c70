"""Compares configurations fairly: interleaved on one broker, in turn forwards and backwards, with an interval.

At full speed each shows its rate; then all of them get one and the same rate, which the slowest can keep with ease,
and show their latency at it: latency at full speed would only tell how long a queue has grown. What two runs of a
round share, the state of the machine at that time, falls out of their ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loadtest.engine.histogram import Histogram, merged
from loadtest.engine.plan import Plan
from loadtest.intervals import Ratio, ratio_of
from loadtest.presets import Variant
from loadtest.results.run import Run

Phase = Literal["speed", "latency"]
#: Of the slowest one's full speed: far enough below its knee that latency is not a matter of luck.
_SHARE_OF_SLOWEST = 0.5


@dataclass(frozen=True)
class Measured:
    """One run of a comparison."""

    variant: str
    phase: Phase
    round: int
    run: Run = field(repr=False)

    @property
    def per_s(self) -> float:
        """What came through: received, or confirmed if nobody consumes."""
        consumed = self.run.manifest["arguments"]["consumers"] > 0
        return float(self.run.verdict["per_s"]["received" if consumed else "confirmed"])

    @property
    def p99_ms(self) -> float:
        """From the intended time, or of confirms if nobody consumes."""
        consumed = self.run.manifest["arguments"]["consumers"] > 0
        return self.run.quantile_ms("from_intended" if consumed else "confirm", 0.99)


@dataclass(frozen=True)
class Finding:
    """One quantity of one variant against the first.

    Args:
        what: `rate`, or `p99`.
        ratio: None: it could not be compared.
        base, other: medians.
        at: rate at which latency was measured.
    """

    what: Literal["rate", "p99"]
    base_name: str
    other_name: str
    base: float
    other: float
    ratio: Ratio | None
    at: float | None = None

    @property
    def differs(self) -> bool:
        return self.ratio is not None and self.ratio.differs

    def __str__(self) -> str:
        subject = "rate" if self.what == "rate" else f"p99 at {self.at or 0:,.0f}/s"
        medians = f"medians {_shown(self.other, self.what)} against {_shown(self.base, self.what)}"
        if self.ratio is None:
            return f"{subject}: {self.other_name} and {self.base_name} could not be compared: too few whole rounds"
        span = f"{self.ratio.low:.2f} to {self.ratio.high:.2f}"
        if not self.ratio.differs:
            return f"{subject}: no difference shown between {self.other_name} and {self.base_name} ({span}; {medians})"
        return f"{subject}: they differ: {self.other_name} is {span} times {self.base_name} ({medians})"


def _shown(value: float, what: str) -> str:
    return f"{value:,.0f}/s" if what == "rate" else f"{value:,.3g} ms"


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison, and what they say."""

    variants: tuple[Variant, ...]
    measured: tuple[Measured, ...] = field(repr=False)
    interrupted: bool = False

    @property
    def findings(self) -> list[Finding]:
        """Each variant against the first: its rate, then its latency, as far as they were measured."""
        base, *others = self.variants
        return [
            self._finding(phase, base.name, other.name)
            for other in others
            for phase in ("speed", "latency")
            if self.of(base.name, phase) and self.of(other.name, phase)
        ]

    def of(self, variant: str, phase: str) -> list[Measured]:
        """Its runs in one phase, in the order of the rounds."""
        return [each for each in self.measured if each.variant == variant and each.phase == phase]

    def merged(self, phase: str) -> dict[str, Histogram]:
        """Latencies from the intended time by variant, all its runs of a phase together."""
        return {
            variant.name: merged(each.run.histograms["from_intended"] for each in self.of(variant.name, phase))
            for variant in self.variants
        }

    @property
    def warnings(self) -> list[str]:
        """Why some of it should not be believed, or not yet."""
        found = []
        if limited := [m.variant for m in self.measured if m.run.verdict["limit"]["by"] == "client"]:
            found.append(
                f"the load generator was the limit of {', '.join(sorted(set(limited)))} in {len(limited)} runs: "
                "of the broker they say little; add --producers or --consumers"
            )
        if broken := [m.variant for m in self.measured if not m.run.integrity.is_whole]:
            found.append(f"NOT WHOLE: messages were lost or changed with {', '.join(sorted(set(broken)))}")
        late = [m for m in self.measured if m.phase == "latency" and m.run.verdict["limit"]["by"] != "rate"]
        if late:
            names = ", ".join(sorted({m.variant for m in late}))
            found.append(f"the common rate was too much for {names} in {len(late)} runs: give a lower --rate")
        return found

    def _finding(self, phase: str, base: str, other: str) -> Finding:
        rate = phase == "speed"
        sides = {}
        for name in (base, other):
            sides[name] = [each.per_s if rate else each.p99_ms for each in self.of(name, phase)]
        pairs = min(len(sides[base]), len(sides[other]))
        at = None if rate else self.of(base, phase)[0].run.manifest["arguments"]["rate"]
        return Finding(
            what="rate" if rate else "p99",
            base_name=base,
            other_name=other,
            base=statistics.median(sides[base]),
            other=statistics.median(sides[other]),
            ratio=ratio_of(sides[base][:pairs], sides[other][:pairs]),
            at=at,
        )

    def __str__(self) -> str:
        end = ["interrupted: only what was done by then is compared"] if self.interrupted else []
        return "\n".join([*(str(finding) for finding in self.findings), *self.warnings, *end])


#: Does one run of a plan under a name.
Doing = Callable[[Plan, str], Run]


def compare(plan: Plan, variants: Sequence[Variant], *, rounds: int, do: Doing) -> Comparison:
    """Measure all variants, round by round; interrupted, it gives what was measured by then.

    Args:
        plan: what they have in common; with a rate there is no phase at full speed.
        variants: the first is the one that others are compared with.
        rounds: of each phase; the order of variants turns round each time.
        do: does a run.

    Raises:
        PlanError: a variant makes no plan; nothing is run then.
    """
    for variant in variants:
        variant.of(plan)
    measured: list[Measured] = []
    interrupted = False
    try:
        if plan.rate is None:
            for each in _phase("speed", plan, variants, rounds, do):
                measured.append(each)
        rate = plan.rate or _common_rate(measured)
        for each in _phase("latency", plan.with_(rate=rate), variants, rounds, do):
            measured.append(each)
    except KeyboardInterrupt:
        interrupted = True
    return Comparison(tuple(variants), tuple(measured), interrupted)


def _phase(phase: Phase, plan: Plan, variants: Sequence[Variant], rounds: int, do: Doing) -> Iterator[Measured]:
    for number in range(rounds):
        # Forwards, then backwards: whatever drifts in time falls on both sides alike.
        for variant in variants if number % 2 == 0 else reversed(variants):
            name = f"{phase}-{number + 1}-{variant.name}"
            yield Measured(variant.name, phase, number, do(variant.of(plan), name))


def _common_rate(measured: Sequence[Measured]) -> float:
    medians = [
        statistics.median(each.per_s for each in measured if each.variant == name)
        for name in {each.variant for each in measured}
    ]
    return max(1.0, float(f"{_SHARE_OF_SLOWEST * min(medians):.2g}"))

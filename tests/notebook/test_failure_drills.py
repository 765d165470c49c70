"""The chapter's drills on a real system: a fault is seen and costs nothing, and the figures are read right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from labs.broker import Broker
from labs.display import Chart
from labs.notebook import notebook
from labs.notebook.exercises.failure_drills import check_alert
from labs.notebook.experiments.drills import Drill, Drills, Sample, every_letter_told_once, metrics
from labs.notebook.experiments.drills.catalogue import ELEVENTH, TEN
from labs.notebook.experiments.drills.drill import run_drill
from labs.notebook.experiments.drills.faults import Fault
from labs.notebook.experiments.drills.load import Request
from labs.notebook.experiments.drills.metrics import DASHBOARD, Points, samples, signs
from labs.notebook.experiments.drills.outcome import Outcome
from labs.notebook.session import Notebook
from labs.settings import Settings

DELAYS_MS = (100, 200, 400)
#: More than a letter takes in calm, and less than the eleventh fault lasts.
LATE_S = 1.0
MANY = 10
#: Some that need no server of one's own; the chapter itself runs all.
FAULTS = [fault for fault in TEN if fault.label in {"relay", "frozen", "cut", "queue"}]


@pytest.fixture(scope="module")
def lab(broker: Broker, settings: Settings) -> Iterator[Notebook]:
    lab = notebook(
        "drills",
        settings=settings,
        lease_s=1.0,
        relay_lease_s=1.0,
        reconcile_after_s=1.5,
        retry_delays_ms=DELAYS_MS,
        prefetch=4,
        publish_timeout_s=3.0,
        rate_limit="100000/minute",
    )
    try:
        lab.start(workers=2)
        Drills(lab, seed=1, delays_ms=DELAYS_MS)  # sets the model's pace
        yield lab
    finally:
        lab.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.label)
async def test_a_fault_is_seen_and_costs_nothing(lab: Notebook, fault: Fault) -> None:
    drill = await run_drill(lab, fault, number=1, delays_ms=DELAYS_MS)
    assert drill.verdict == "every request accepted: True, jobs lost: 0, done twice: 0"
    assert drill.signs, "nothing moved"
    assert fault.name not in drill.picture.text
    assert await every_letter_told_once(lab)


async def test_a_calm_drill_and_a_frozen_relay_tell_a_good_alert_from_a_bad_one(lab: Notebook) -> None:
    drills = Drills(lab, seed=1, delays_ms=DELAYS_MS)
    for _ in range(5):  # a machine that is busy with everything else may not be calm
        calm = await drills.calm()
        if all(sample.oldest_open_s < LATE_S and sample.ready < MANY for sample in calm.samples):
            break
    for _ in range(5):  # nor may it be before the fault
        trouble = await drills.eleventh()
        if all(s.oldest_open_s < LATE_S and s.ready < MANY for s in trouble.samples if s.at_s < trouble.broke_s):
            break
    assert check_alert(lambda s: s.oldest_open_s > LATE_S, calm=calm, trouble=trouble).startswith("Solved")
    assert check_alert(lambda s: s.ready > MANY, calm=calm, trouble=trouble).startswith("Not yet: in the eleventh")
    assert check_alert(lambda s: True, calm=calm, trouble=trouble).startswith("Not yet: your rule fires when nothing")


def series(**moved: Points) -> dict[str, Points]:
    """A dashboard on which everything is calm but what is given by key."""
    calm = {metrics.CONSUMERS: 2.0, metrics.BROKER: 1.0, metrics.DATABASE: 1.0, metrics.CONNECTIONS: 10.0}
    return {m.name: moved.get(m.key, [(at / 10, calm.get(m, 0.0)) for at in range(30)]) for m in DASHBOARD}


def drill(**moved: Points) -> Drill:
    return Drill(1, ELEVENTH, series(**moved), 1.0, 2.0, Outcome([], {}, 0), 0.0)


def test_what_left_its_calm_is_a_sign_in_the_order_in_which_it_did() -> None:
    moved = series(
        consumers=[(0.5, 2), (1.2, 1), (1.9, 2)],
        ready=[(0.5, 0), (1.1, 7), (1.4, 9), (1.5, 0)],
        unpublished=[(0.5, 0), (1.1, 2)],  # less than noise
        failed_calls=[(0.5, 6), (1.5, 6)],  # before the fault, and no more since
    )
    found = signs(moved, broke_s=1.0)
    assert [sign.metric.key for sign in found] == ["ready", "consumers"]
    assert [(sign.worst, sign.first_s, sign.back_s) for sign in found] == [
        (9, pytest.approx(0.1), pytest.approx(0.5)),
        (1, pytest.approx(0.2), pytest.approx(0.9)),
    ]


def test_a_burst_before_the_fault_is_no_sign_of_it() -> None:
    assert signs(series(ready=[(0.5, 20), (1.1, 15), (1.5, 0)]), broke_s=1.0) == []


def test_a_sample_keeps_what_nobody_could_tell_just_then() -> None:
    seen = samples(series(oldest_open_s=[(0.0, 0.2), (0.5, 0.3)]))
    assert len(seen) == 30
    assert seen[-1].oldest_open_s == 0.3
    assert seen[2].oldest_open_s == 0.2


def test_an_alert_that_fires_before_the_fault_or_too_late_is_not_enough() -> None:
    calm, trouble = drill(), drill(ready=[(0.0, 0), (1.5, 20)], unpublished=[(0.0, 5)])

    def rule(sample: Sample) -> bool:
        return sample.unpublished > 3

    assert check_alert(rule, calm=calm, trouble=trouble).startswith("Not yet: your rule fires before anything breaks")
    late = replace(trouble, mended_s=1.4)
    assert check_alert(lambda s: s.ready > 10, calm=calm, trouble=late).startswith("Not yet: in the eleventh")
    assert check_alert(lambda s: s.ready > 10, calm=calm, trouble=trouble).startswith("Solved")


def test_a_lost_job_a_job_done_twice_and_a_refused_request_are_counted() -> None:
    requests = [Request(1.0, 1.1, "a"), Request(1.0, 1.1, "b"), Request(1.0, 1.1, "c"), Request(1.0)]
    outcome = Outcome(requests, {"a": [2.0], "b": [2.5, 3.0]}, 0)
    assert (outcome.accepted_all, outcome.lost, outcome.twice) == (False, 1, 1)
    assert outcome.waits_s() == [(2.0, 1.0), (2.5, 1.5)]
    assert replace(drill(), outcome=outcome).verdict == "every request accepted: False, jobs lost: 1, done twice: 1"


def test_every_fault_has_four_different_answers_and_its_own_label() -> None:
    assert len({fault.label for fault in TEN}) == len({fault.name for fault in TEN}) == 10
    for number, fault in enumerate(TEN):
        asked = replace(drill(), number=number, fault=fault)
        assert len(set(asked.question().answers.values())) == 4
        assert asked.question().answers[asked.answer] == fault.name
        assert isinstance(asked.picture, Chart)

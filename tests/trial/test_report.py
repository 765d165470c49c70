"""What a trial's pictures and page show comes from its history alone."""

from __future__ import annotations

import pytest

from labs.display.trial import FaultSeen, faults_seen, trial_latency, trial_timeline
from labs.display.trial_report import trial_charts, trial_html
from labs.trial import operations as op
from labs.trial.checker import Anomaly, check
from labs.trial.folder import Manifest
from labs.trial.history import Event
from tests.trial.histories import CORRUPTIONS, PROMISES, Plan, written

EVENTS = written([Plan(), Plan(failures=1), Plan(failures=4)])
MANIFEST = Manifest(
    system="cover-letters",
    faults=("worker-kill",),
    seed=7,
    seconds=30,
    broker="4.3.6",
    started="2026-11-28T20:00:00+00:00",
    promises=PROMISES,
)


def test_a_fault_lasts_from_its_beginning_to_its_healing() -> None:
    [fault] = faults_seen(EVENTS)
    assert (fault.name, fault.proof) == ("worker-kill", "pid 17 is gone")
    start_ns, begun, healed = (
        EVENTS[0].at_ns,
        *(e.at_ns for e in EVENTS if e.operation == op.FAULT and e.kind != "info"),
    )
    assert fault.begun_s == pytest.approx((begun - start_ns) / 1e9)
    assert fault.healed_s == pytest.approx((healed - start_ns) / 1e9)


def test_a_fault_that_was_not_healed_lasts_until_the_end() -> None:
    events = [event for event in EVENTS if event.operation != op.FAULT or event.kind != "ok"]
    [fault] = faults_seen(events)
    assert isinstance(fault, FaultSeen)
    assert fault.healed_s == pytest.approx((events[-1].at_ns - events[0].at_ns) / 1e9)


def test_the_pictures_say_in_words_what_they_show() -> None:
    assert "1 worker-kill: " in trial_timeline(EVENTS, title="a trial").text
    words = trial_latency(EVENTS, title="a trial").text
    assert "until it was accepted: 3 requests" in words
    assert "until its message had its effects: 3 requests" in words


def test_many_faults_are_numbered() -> None:
    fault = [event for event in EVENTS if event.operation == op.FAULT]
    words = trial_timeline([*EVENTS, *fault * 4], title="a trial").text
    assert "worker-kill" not in words
    assert "5: " in words


def test_a_history_without_requests_still_has_pictures() -> None:
    empty = [Event(0, 1, "runner", "invoke", op.PHASE, value=op.DRAIN)]
    assert all(chart.png for chart in trial_charts(empty, MANIFEST).values())


def test_the_page_tells_the_story_and_escapes_what_others_wrote() -> None:
    events = CORRUPTIONS[Anomaly.LOST](EVENTS, 0)
    assert events is not None
    proof = Event(0, events[0].at_ns, "nemesis", "invoke", op.FAULT, value="<script>")
    result = check(events, PROMISES)
    page = trial_html(result, MANIFEST, [*events, proof], list(trial_charts(events, MANIFEST).values()))
    assert "Trial of cover-letters: invalid" in page
    assert "was confirmed and never delivered" in page
    assert result.hint.replace("'", "&#x27;") in page
    assert "<script" not in page
    assert "seed 7, 30 s of load, RabbitMQ 4.3.6" in page

"""The checker finds nothing in a history that keeps its promises, and names each broken one rightly."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labs.trial import operations as op
from labs.trial.checker import HINTS, Anomaly, Verdict, check
from labs.trial.history import Event
from labs.trial.operations import Promises
from tests.trial.histories import BESIDES, CORRUPTIONS, HISTORIES, PROMISES, Plan, written


@settings(max_examples=50)
@given(HISTORIES)
def test_a_history_that_keeps_every_promise_is_valid(events: list[Event]) -> None:
    result = check(events, PROMISES)
    assert result.verdict == Verdict.VALID, result.why
    assert result.counts["lost"] == result.counts["unexpected"] == 0
    assert result.counts["accepted"] == result.counts["submitted"]


@pytest.mark.parametrize("anomaly", Anomaly)
@settings(max_examples=15)
@given(events=HISTORIES, number=st.integers(0, 100))
def test_each_broken_promise_is_named(anomaly: Anomaly, events: list[Event], number: int) -> None:
    corrupt = CORRUPTIONS[anomaly](events, number)
    assume(corrupt is not None)
    assert corrupt is not None
    result = check(corrupt, PROMISES)
    assume(corrupt != events)
    assert result.verdict == Verdict.INVALID
    assert {anomaly} <= set(map(Anomaly, result.anomalies)) <= {anomaly} | BESIDES.get(anomaly, set()), result.anomalies
    assert result.first is not None
    assert result.hint == HINTS[result.first.anomaly]


def test_the_verdict_names_the_first_offender_with_its_story_and_the_faults_around() -> None:
    events = CORRUPTIONS[Anomaly.LOST](written([Plan(), Plan()]), 1)
    assert events is not None
    result = check(events, PROMISES)
    assert result.why.startswith("lost: message event-1 was confirmed and never delivered (at 0.0")
    assert any("publish ok" in line for line in result.story)
    # The fault had begun before it, and was healed after it
    assert result.story[0].endswith("fault worker-kill begins")
    assert result.story[1].endswith("fault worker-kill is seen: pid 17 is gone")
    assert result.story[-1].endswith("fault worker-kill is healed")
    assert "submit invoke of Company-1" in result.story[2]


def without(events: list[Event], operation: str) -> list[Event]:
    return [event for event in events if event.operation != operation]


def drained(events: list[Event], kind: str) -> list[Event]:
    return [*without(events, op.PHASE), Event(0, events[-1].at_ns, "runner", kind, op.PHASE, value=op.DRAIN)]  # type: ignore[arg-type]


def test_what_proves_nothing_is_unknown() -> None:
    events = written([Plan(), Plan()])
    assert check([], PROMISES).verdict == Verdict.UNKNOWN
    assert check(without(events, op.FAULT), PROMISES).why == "no fault was seen"
    assert check(drained(events, "info"), PROMISES).why == "the drain did not come to its end"


def test_a_fault_that_met_no_work_proves_nothing() -> None:
    events = written([Plan()])
    late = [
        Event(0, events[-1].at_ns + 1, "nemesis", kind, op.FAULT, value="worker-kill")
        for kind in ("invoke", "info", "ok")  # type: ignore[misc]
    ]
    assert check([*without(events, op.FAULT), *late], PROMISES).why == "no fault overlapped any work"


def test_what_more_time_could_mend_is_no_anomaly_while_the_drain_has_not_ended() -> None:
    events = CORRUPTIONS[Anomaly.NO_END](written([Plan(), Plan()]), 0)
    assert events is not None
    assert check(drained(events, "info"), PROMISES).verdict == Verdict.UNKNOWN
    assert check(drained(events, "fail"), PROMISES).verdict == Verdict.INVALID


def test_messages_are_counted_as_jepsen_counts_them() -> None:
    plans = [Plan(), Plan(first_confirm_lost=True), Plan(delivered_twice=True)]
    counts = check(written(plans), PROMISES).counts
    assert counts["attempted"] == counts["delivered"] == 6
    assert counts["confirmed"] == 5
    assert counts["recovered"] == 1
    assert counts["duplicated"] == 1


def test_without_a_database_what_was_said_to_be_published_must_have_its_effect() -> None:
    events = written([Plan(), Plan()])
    events = [e for e in events if e.operation not in {op.OUTBOX, op.ROW, op.STATUS, op.RESULT} and e.queue != "work"]
    events = [event for event in events if not event.message.startswith("command")]
    promises = Promises(queues=("told",), jobs=False)
    assert check(events, promises).verdict == Verdict.VALID
    broken = [event for event in events if event.operation not in {op.EFFECT, op.SETTLE}]
    assert check(broken, promises).anomalies == {Anomaly.NO_EFFECT.value: 2}


def test_a_loop_that_gives_back_for_ever_is_found() -> None:
    events = written([Plan()])
    settle = next(event for event in events if event.operation == op.SETTLE and event.queue == "told")
    back = [Event(0, settle.at_ns + n, "worker", "ok", op.SETTLE, message=settle.message, queue="told", attempt=1,
                  value="reject") for n in range(5)]  # fmt: skip
    assert check([*events, *back], PROMISES).anomalies == {Anomaly.TOO_MANY_ATTEMPTS.value: 1}


def test_what_went_on_after_a_drain_was_given_up_is_judged_by_nobody() -> None:
    events = written([Plan()])
    end_ns = max(event.at_ns for event in events)
    late = [
        Event(0, end_ns + number, "worker", "ok", operation, message="late", queue="told", value="ack")
        for number, operation in enumerate((op.DELIVER, op.SETTLE, op.MARK, op.TALLY), start=1)
    ]
    assert check([*drained(events, "info"), *late], PROMISES).verdict == Verdict.UNKNOWN
    assert check([*drained(events, "ok"), *late], PROMISES).verdict == Verdict.INVALID


@given(events=HISTORIES, more=st.sampled_from([-1, 0, 1]))
def test_a_consumer_whose_own_table_shows_other_effects_is_found(events: list[Event], more: int) -> None:
    done = sum((e.operation, e.queue, e.value) == (op.EFFECT, "told", op.DONE) for e in events)
    tally = replace(events[-1], operation=op.TALLY, queue="told", count=done + more)
    result = check([*events, tally], PROMISES)
    wrong = {-1: Anomaly.NO_EFFECT, 1: Anomaly.DONE_TWICE}
    assert set(result.anomalies) == ({wrong[more]} if more else set())

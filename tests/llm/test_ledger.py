from labs.llm.dials import Fault
from labs.llm.ledger import Ledger


def call(ledger: Ledger, request_id: str, outcome: str = "ok") -> None:
    entry = ledger.begin(request_id=request_id, prompt_hash="h")
    ledger.end(entry, Fault(outcome) if outcome in set(Fault) else "ok")


def test_totals_stay_exact_when_old_calls_are_forgotten() -> None:
    ledger = Ledger(capacity=10)
    for number in range(100):
        call(ledger, f"job-{number // 2}", "reset" if number % 4 == 0 else "ok")
    summary = ledger.summary()
    assert (summary.total, summary.open, summary.kept) == (100, 0, 10)
    assert summary.outcomes == {"reset": 25, "ok": 75}
    assert (summary.request_ids, summary.max_calls_per_request_id) == (5, 2)
    assert [kept.sequence for kept in ledger.page().calls] == list(range(91, 101))


def test_a_running_call_is_open() -> None:
    ledger = Ledger()
    entry = ledger.begin(request_id="a", prompt_hash="h")
    assert ledger.summary().open == 1
    assert ledger.page().calls[0].ended_ns is None
    ledger.end(entry, "ok")
    shown = ledger.page().calls[0]
    assert (ledger.summary().open, shown.outcome) == (0, "ok")
    assert shown.ended_ns is not None
    assert shown.ended_ns >= shown.started_ns


def test_a_page_holds_the_newest_that_match_oldest_first() -> None:
    ledger = Ledger()
    for number in range(9):
        call(ledger, "abc"[number % 3], "ok" if number < 6 else "empty")
    assert [c.sequence for c in ledger.page(request_id="b").calls] == [2, 5, 8]
    assert [c.sequence for c in ledger.page(request_id="b", outcome="ok").calls] == [2, 5]
    assert [c.sequence for c in ledger.page(limit=2).calls] == [8, 9]


def test_a_call_from_before_clearing_does_not_count() -> None:
    ledger = Ledger()
    entry = ledger.begin(request_id="old", prompt_hash="h")
    ledger.clear()
    call(ledger, "new")
    ledger.end(entry, "client_gone")
    assert ledger.summary().outcomes == {"ok": 1}
    assert (ledger.summary().total, ledger.summary().open) == (1, 0)


def test_calls_without_a_request_id_are_not_one_request() -> None:
    ledger = Ledger()
    for _ in range(3):
        call(ledger, "")
    assert (ledger.summary().total, ledger.summary().max_calls_per_request_id) == (3, 0)

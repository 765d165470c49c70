"""What was written down is read back as it was, and nothing else is taken for a history."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labs.trial.history import History, HistoryError, Ids, line_of, read
from tests.trial.histories import Plan, written


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with History(path) as history:
        history.add("client-1", "invoke", "submit", Ids(request="r"), value="Company-1")
        history.add("client-1", "info", "submit", Ids(request="r"), error="ReadTimeout")
        history.add("database", "ok", "row", Ids(request="r", job="j"), at_ns=5)
        # It is in the file already
        assert read(path) == history.events
    assert [event.index for event in read(path)] == [0, 1, 2]
    assert read(path)[2].at_ns == 5
    assert read(path)[0].at_ns <= read(path)[1].at_ns


def test_a_history_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path).close()
    with pytest.raises(HistoryError, match="another folder"):
        History(path)


GOOD = "".join(map(line_of, written([Plan()])))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"index":0,"at_ns":1,"process":"a","kind":"ok","operation":"x"}', "line 1 is cut off"),
        ("nonsense\n", "line 1 is not JSON"),
        ("\n" + GOOD, "line 1 is not JSON"),
        ("[1]\n", "line 1 is not a JSON object"),
        ('{"index":0,"at_ns":1,"process":"a","kind":"ok"}\n', "lacks operation"),
        ('{"index":0,"at_ns":"1","process":"a","kind":"ok","operation":"x"}\n', "at_ns is '1', which is no int"),
        ('{"index":true,"at_ns":1,"process":"a","kind":"ok","operation":"x"}\n', "index is True"),
        ('{"index":0,"at_ns":1,"process":"a","kind":"maybe","operation":"x"}\n', "kind is 'maybe'"),
        ('{"index":0,"at_ns":1,"process":"a","kind":"ok","operation":"x","colour":"red"}\n', "unknown field 'colour'"),
        (GOOD.partition("\n")[2], "index 1 instead of 0"),
    ],
)
def test_what_is_no_history_is_refused_with_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    with pytest.raises(HistoryError, match=complaint):
        read(path)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="No such file"):
        read(tmp_path / "history.jsonl")


@given(line=st.integers(0, GOOD.count("\n") - 2))
def test_a_line_that_is_missing_is_noticed(tmp_path_factory: pytest.TempPathFactory, line: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    lines = GOOD.splitlines(keepends=True)
    path.write_text("".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(HistoryError, match=f"line {line + 1} has index {line + 1}"):
        read(path)

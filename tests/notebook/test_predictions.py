"""A prediction is judged by the measurement, whatever the reader wrote."""

from __future__ import annotations

import pytest

from labs.notebook.predictions import Prediction


@pytest.mark.parametrize(
    ("guess", "told"),
    [
        ("b", "You were right."),
        (" B ", "You were right."),
        ("a", "You said a) none. What did you assume that isn't so?"),
        ("?", "You made no guess: set it to one of a, b above and run both cells again."),
        (None, "You made no guess: set it to one of a, b above and run both cells again."),
    ],
)
def test_a_guess_is_compared_with_what_was_measured(guess: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    lost = Prediction("How many are lost?", a="none", b="all")
    lost.guess = guess
    lost.reveal("b")
    assert capsys.readouterr().out == f"Measured: b) all\n{told}\n"


def test_it_shows_as_its_question() -> None:
    assert repr(Prediction("Lost?", a="none", b="all")) == "Lost?\n  a) none\n  b) all"

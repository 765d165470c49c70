"""A question to answer before the cell that answers it: the reader commits, then the measurement judges."""

from __future__ import annotations

_UNSAID = "?"


class Prediction:
    """A question with a few answers, by letter; set `guess`, run the experiment, then `reveal`.

    Shows as the question when it stands last in a cell.
    """

    def __init__(self, question: str, **answers: str) -> None:
        self.question = question
        self.answers = answers
        self.guess = _UNSAID

    def __str__(self) -> str:
        return "\n".join([self.question, *(f"  {letter}) {text}" for letter, text in self.answers.items())])

    def __repr__(self) -> str:
        return str(self)

    def reveal(self, letter: str) -> None:
        """Print what was measured, and how the guess compares.

        Args:
            letter: of the right answer, as measured.

        Raises:
            KeyError: there is no such answer.
        """
        print(f"Measured: {letter}) {self.answers[letter]}")
        guess = str(self.guess).strip().lower()
        if guess == letter:
            print("You were right.")
        elif guess in self.answers:
            print(f"You said {guess}) {self.answers[guess]}. What did you assume that isn't so?")
        else:
            print(f"You made no guess: set it to one of {', '.join(self.answers)} above and run both cells again.")

"""Chapter 11: how many workers, by arithmetic, and then with real ones."""

from __future__ import annotations

from collections.abc import Callable

from labs.notebook.experiments.capacity import Crew
from labs.notebook.experiments.jobs import busy_share
from labs.notebook.session import Notebook

Needed = Callable[[float, float, float], int]
#: Jobs a second, ms of each, the share of their time that workers may be busy at most, and the answer.
_CASES = ((300, 20, 1.0, 6), (300, 20, 0.8, 8), (40, 250, 0.7, 15), (5, 10, 0.5, 1), (1000, 3, 0.75, 4))
_RATE, _WORK_MS, _AT_MOST = 60, 40, 0.7


def check_needed(lab: Notebook, workers_needed: Needed) -> str:
    """The learner's numbers must be right, and what they say for one more case is hired and must stay below it."""
    for per_s, work_ms, at_most, right in _CASES:
        told = workers_needed(per_s, work_ms, at_most)
        if told != right:
            case = f"{per_s} jobs/s of {work_ms} ms, busy {at_most:.0%} at most"
            return f"Not yet: for {case} your answer is {told}. {_hint(told, right)}"
    crew = Crew(lab, "exercise", prefetch=1)
    count = workers_needed(_RATE, _WORK_MS, _AT_MOST)
    try:
        crew.be(count)
        share = busy_share(crew.do([number / _RATE for number in range(_RATE)], _WORK_MS), workers=count)
    finally:
        crew.close()
    if share > _AT_MOST + 0.2:
        return f"Not yet: {count} real workers were busy for {share:.0%} of their time."
    return f"Solved: {count} workers were hired for {_RATE} jobs/s of {_WORK_MS} ms, and had time to spare."


def _hint(told: object, right: int) -> str:
    if not isinstance(told, int):
        return "Workers are whole people: give an int."
    if told < right:
        return "That is too few: multiply rate and time first, then leave room. And round in which direction?"
    return "Fewer would do: is there a unit that you forgot, or did you round twice?"

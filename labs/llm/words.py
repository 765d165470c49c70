"""The words and two-word phrases that two texts share, the most telling first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from pathlib import Path

#: Words of several languages that say nothing about a job.
COMMON_WORDS = frozenset((Path(__file__).parent / "common_words.txt").read_text("utf-8").split())

#: Short names of technologies that would otherwise pass for noise.
_SHORT_SKILLS = frozenset({"go", "c", "r", "c#", "c++", "f#", "ai", "ml", "qa", "ux", "ui", "js", "ci", "cd", "bi"})

_WORD = re.compile(r"[^\W_](?:[\w+#]|[./-](?=\w))*")
_IDEOGRAPHS = re.compile(r"[\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,8}")
_MOST = 6
_LONGEST = 40


def content_words(text: str) -> list[str]:
    """The telling words of a text, in lower case, in order."""
    return [word.lower() for word in _WORD.findall(text) if _tells(word)]


def phrases(job: str, cv: str, *, without: Set[str]) -> tuple[str, ...]:
    """What both texts mention, spelt as in the first: phrases and names of things before ordinary words."""
    ranked: dict[str, tuple[int, int, str]] = {}
    for position, (spelling, rank) in enumerate(_shared(job, cv.lower(), without=without)):
        ranked.setdefault(spelling.lower(), (rank, position, spelling))
    chosen: list[str] = []
    for _, _, spelling in sorted(ranked.values()):
        if not any(spelling.lower() in taken.lower() for taken in chosen):
            chosen.append(spelling)
        if len(chosen) == _MOST:
            break
    return tuple(chosen)


def _shared(job: str, cv: str, *, without: Set[str]) -> Iterator[tuple[str, int]]:
    """Every word, and every pair of words, of the job description that the CV has too, with its rank."""
    known = set(_WORD.findall(cv)) - without
    previous: re.Match[str] | None = None
    for match in _WORD.finditer(job):
        word = match[0]
        if word.lower() not in known or not _tells(word):
            previous = None
            continue
        if previous is not None and job[previous.end() : match.start()] == " ":
            pair = f"{previous[0]} {word}"
            if pair.lower() in cv:
                yield pair, 0
        yield word, 2 if word.islower() and word.isalpha() else 1
        previous = match
    yield from ((run, 1) for run in _IDEOGRAPHS.findall(job) if run in cv and run not in COMMON_WORDS)


def _tells(word: str) -> bool:
    lowered = word.lower()
    if lowered in COMMON_WORDS or lowered.replace(".", "").isdigit():
        return False
    return 2 < len(word) <= _LONGEST or lowered in _SHORT_SKILLS

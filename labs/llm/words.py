"""The words and two-word phrases that two texts share, the most telling first."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

#: Words of several languages that say nothing about a job.
COMMON_WORDS = frozenset((Path(__file__).parent / "common_words.txt").read_text("utf-8").split())

#: Short names of technologies that would otherwise pass for noise.
_SHORT_SKILLS = frozenset({"go", "c", "r", "c#", "c++", "f#", "ai", "ml", "qa", "ux", "ui", "js", "ci", "cd", "bi"})

_WORD = re.compile(r"[^\W_](?:[\w+#]|[./-](?=\w))*")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,8}")
_MOST = 6


def content_words(text: str) -> list[str]:
    """The telling words of a text, in lower case, in order."""
    return [word.lower() for word in _WORD.findall(text) if _tells(word)]


def phrases(job: str, cv: str, *, without: Set[str]) -> tuple[str, ...]:
    """What both texts mention, spelt as in the first: phrases and names of things before ordinary words."""
    known = set(content_words(cv))
    ranked: dict[str, tuple[int, int, str]] = {}
    for position, (key, spelling, rank) in enumerate(_candidates(job, known=known, cv=cv.lower())):
        if without.isdisjoint(key.split()) and key not in ranked:
            ranked[key] = (rank, position, spelling)
    chosen: list[str] = []
    for _, _, spelling in sorted(ranked.values()):
        if not any(spelling.lower() in taken.lower() for taken in chosen):
            chosen.append(spelling)
    return tuple(chosen[:_MOST])


def _candidates(job: str, *, known: Set[str], cv: str) -> list[tuple[str, str, int]]:
    """(key, spelling, rank) of every word and pair of words of the job description that the CV has too."""
    found: list[tuple[str, str, int]] = []
    previous: re.Match[str] | None = None
    for match in _WORD.finditer(job):
        word, key = match[0], match[0].lower()
        if not _tells(word) or key not in known:
            previous = None
            continue
        if previous is not None and job[previous.end() : match.start()] == " ":
            pair = f"{previous[0]} {word}"
            if pair.lower() in cv:
                found.append((pair.lower(), pair, 0 if _is_plain(previous[0]) and _is_plain(word) else 1))
        found.append((key, word, 3 if _is_plain(word) else 1))
        previous = match
    found += [(run, run, 1) for run in _IDEOGRAPHS.findall(job) if run in cv]
    return found


def _tells(word: str) -> bool:
    lowered = word.lower()
    if lowered in COMMON_WORDS or lowered.replace(".", "").isdigit():
        return False
    return len(word) > 2 or lowered in _SHORT_SKILLS


def _is_plain(word: str) -> bool:
    """Whether it is an ordinary word rather than the name of something."""
    return word.islower() and word.isalpha()

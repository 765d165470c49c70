"""Writes the stub model's letters: each visibly made of the CV and the job description it was asked about.

The same input and seed give the same letter, in any process and on any day.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Sequence

from labs.llm.facts import READ_CHARACTERS, Facts, find_facts, sentences
from labs.llm.prompt import ChatMessage, CoverLetterData
from labs.llm.wordings import WORDINGS, Wording
from labs.llm.words import content_words


@functools.lru_cache(maxsize=64)  # load is made from the same few documents
def write_letter(data: CoverLetterData, *, seed: int) -> str:
    """A cover letter."""
    facts = find_facts(job_description=data.job_description, cv_text=data.cv_text)
    wording = WORDINGS[data.tone]
    company = facts.company or "your company"
    fields = {
        "company": company,
        "position": f"the role of {facts.role}" if facts.role else "the role you advertise",
        "years": f" I bring {facts.years} of experience." if facts.years else "",
        "skills": _enumerate(facts.shared),
        "requirement": facts.requirement or "",
    }
    say = _speaker(data, fields, seed=seed)
    paragraphs = [
        say(wording.greeting if facts.company else wording.greeting_nobody),
        say(wording.opening),
        _fit(facts, wording, say),
        _record(facts, wording, say),
        say(wording.closing),
        f"{say(wording.farewell)}\n{facts.name or 'The applicant'}",
    ]
    return "\n\n".join(filter(None, paragraphs))


def summarise(messages: Sequence[ChatMessage]) -> str:
    """An answer to any other prompt: what it was about, in its own words."""
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    asked = asked[:READ_CHARACTERS].strip()
    if not asked:
        return "You sent no text, so there is nothing to summarise."
    first = " ".join(sentences(asked.splitlines())[:2])[:400]
    words = list(dict.fromkeys(content_words(asked)))[:8]
    about = f" It is about: {', '.join(words)}." if words else ""
    return f"You wrote {len(asked.split())} words. In short: {first}{about}"


_Say = Callable[[Sequence[str]], str]


def _speaker(data: CoverLetterData, fields: dict[str, str], *, seed: int) -> _Say:
    """Picks one of several wordings, always the same for the same data and seed, and fills it in."""
    text = "\x00".join((data.job_description, data.cv_text, data.tone))
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    rng = random.Random(f"{seed}:{digest}")  # noqa: S311 - repeatable on purpose
    return lambda wordings: wordings[rng.randrange(len(wordings))].format_map(fields)


def _fit(facts: Facts, wording: Wording, say: _Say) -> str:
    parts = [say(wording.shared)] if facts.shared else []
    if facts.requirement and wording.requirement:
        parts.append(say(wording.requirement))
    return " ".join(parts)


def _record(facts: Facts, wording: Wording, say: _Say) -> str:
    if not facts.achievements:
        return ""
    bullets = [f"- {line}" for line in facts.achievements[: wording.achievements]]
    return "\n".join([say(wording.record), *bullets])


def _enumerate(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))

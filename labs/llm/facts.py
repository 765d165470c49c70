"""What a letter can be built from: facts picked out of a job description and a CV, whatever their shape.

Everything found is a piece of the input; nothing found is None or empty. Only the first part of a
huge text is read, so the time is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from labs.llm.words import COMMON_WORDS, content_words, phrases

#: Longer texts are read up to here.
READ_CHARACTERS = 12_000

_LABEL = r"^[^\w\n]*(?:{labels})\s*[:\uff1a]\s*(?P<value>\S.{{0,79}})$"
_FLAGS = re.MULTILINE | re.IGNORECASE
_NAME_LABEL = re.compile(_LABEL.format(labels="full name|name|nom|nombre|nome|\u59d3\u540d"), _FLAGS)
_COMPANY_LABEL = re.compile(
    _LABEL.format(
        labels="company|employer|organi[sz]ation|unternehmen|firma|entreprise|empresa|azienda|会社名?|企業|公司"
    ),
    _FLAGS,
)
_ROLE_LABEL = re.compile(
    _LABEL.format(
        labels="job title|title|position|role|vacancy|stelle|poste|puesto|cargo|vaga|posizione|職位|職種|职位"
    ),
    _FLAGS,
)
_PROPER_WORD = r"\b[^\W\d_a-z][\w&.'\u2019-]{0,30}"
_PROPER = rf"{_PROPER_WORD}(?: (?:{_PROPER_WORD}|&|of|de|and)){{0,5}}"
_COMPANY_IN_TEXT = (
    re.compile(rf"\b(?:[Jj]oin|[Aa]bout|[Cc]hez|[Bb]ei) (?:the )?(?P<value>{_PROPER})"),
    re.compile(rf"(?P<value>{_PROPER}) (?:is|are) (?:looking|hiring|seeking|searching|growing|building|an? )"),
    re.compile(rf"\bat (?P<value>{_PROPER})"),
)
_ROLE_IN_TEXT = (
    re.compile(r"\b(?:looking for|hiring|seeking|searching for|need) (?:an? |our )?(?P<value>[\w+#/ -]{4,60}?)"
               r"(?= (?:to|who|with|at|in|for|on)\b|[,.;:\n(]|$)"),
)  # fmt: skip
_HEADING = re.compile(
    r"^(?P<role>[^\n,;:|]{3,60}?)\s*(?: at | @ | bei | chez |[|,]| [-\u2013\u2014] )\s*(?P<company>[^\n,;|(]{2,60})"
)
_NOT_A_NAME = {"curriculum", "vitae", "resume", "r\u00e9sum\u00e9", "cv", "profile", "summary", "contact", "lebenslauf"}
_MARKUP = " \t-*_\u2022\u00b7\u2013\u2014>#|"
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002])\s+|\u3002")
_YEARS = re.compile(r"\b(\d{1,2}\+?) ?(?:years|jahre|ans|a\u00f1os|anos|anni|年)(?!\w)", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:based|located|working|work|team|offices?) in ([^\W\d_a-z]\w+)")
_FIGURE = re.compile(r"\d")
_ACHIEVED = re.compile(
    r"\b(?:led|built|designed|reduced|increased|improved|launched|migrated|introduced|created|cut|delivered|"
    r"developed|mentored|automated|saved|grew|ran|won|shipped|maintained|implemented|managed|wrote)\b",
    re.IGNORECASE,
)
#: Contact details, and lists behind a label.
_NO_ACHIEVEMENT = re.compile(r"^[^\W\d][\w &/]{1,30}:|@|https?:|www\.|\+\d[\d ()-]{6,}|\b\d{3,}[ -]\d{3,}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the two documents say, as far as it could be found."""

    name: str | None
    company: str | None
    role: str | None
    shared: tuple[str, ...]
    requirement: str | None
    years: str | None
    achievements: tuple[str, ...]


def find_facts(*, job_description: str, cv_text: str) -> Facts:
    """Read both documents."""
    job, cv = _lines(job_description), _lines(cv_text)
    name = _name(cv)
    role, company = _role_and_company(job)
    elsewhere = " ".join([name or "", company or "", role or "", *_PLACE.findall("\n".join(job))])
    shared = phrases("\n".join(job), "\n".join(cv), without=set(content_words(elsewhere)))
    years = _YEARS.search("\n".join(cv))
    return Facts(
        name=name,
        company=company,
        role=role,
        shared=shared,
        requirement=_requirement(job, shared=shared, company=company),
        years=f"{years[1]} years" if years else None,
        achievements=_achievements(cv, shared=shared, name=name),
    )


def sentences(lines: Iterable[str]) -> list[str]:
    """The sentences of some lines, stripped of bullets."""
    pieces = (piece.strip() for line in lines for piece in _SENTENCE_END.split(line))
    return [piece for piece in pieces if piece]


def _lines(text: str) -> list[str]:
    stripped = (line.lstrip(_MARKUP).rstrip(" \t*_|#") for line in text[:READ_CHARACTERS].splitlines())
    return [line for line in stripped if line]


def _name(cv: list[str]) -> str | None:
    labelled = _NAME_LABEL.search("\n".join(cv))
    if labelled:
        return labelled["value"].strip()
    for line in cv[:5]:
        candidate = re.split(r"[,|\u2013\u2014(]| - ", line)[0].strip()
        if _is_name(candidate):
            return candidate
    return None


def _is_name(text: str) -> bool:
    words = text.split()
    if any(word.lower().strip(":.") in _NOT_A_NAME for word in words) or re.search(r"[\d@:/]", text):
        return False
    if len(words) == 1:  # scripts that write a name without spaces and without capitals
        return 2 <= len(text) <= 6 and not text.isascii() and not text[0].isupper() and not text[0].islower()
    return 2 <= len(words) <= 5 and len(text) <= 60 and all(_may_be_in_a_name(word) for word in words)


def _may_be_in_a_name(word: str) -> bool:
    return not word[0].islower() or word.lower() in {"van", "von", "de", "da", "der", "la", "bin", "al", "del", "di"}


def _role_and_company(job: list[str]) -> tuple[str | None, str | None]:
    text = "\n".join(job)
    role = _first(text, (_ROLE_LABEL,))
    company = _first(text, (_COMPANY_LABEL,))
    heading = _HEADING.match(job[0]) if job else None
    if heading and len(job[0]) <= 100 and not job[0].endswith("."):
        role = role or heading["role"].strip()
        company = company or heading["company"].strip(" .")
    role = role or _first(text, _ROLE_IN_TEXT)
    if role is None and job and _may_be_a_title(job[0]):
        role = job[0]
    company = company or _first(text, _COMPANY_IN_TEXT)
    return role, company


def _may_be_a_title(line: str) -> bool:
    return len(line) <= 60 and len(line.split()) <= 6 and not re.search(r"[:.!?{}\ud800-\udfff]", line)


def _first(text: str, patterns: Iterable[re.Pattern[str]]) -> str | None:
    for pattern in patterns:
        for match in pattern.finditer(text):
            value = match["value"].strip(" .,;")
            if value and value.lower() not in COMMON_WORDS:
                return value
    return None


def _requirement(job: list[str], *, shared: tuple[str, ...], company: str | None) -> str | None:
    """The sentence of the job description that the CV answers best."""
    best, most = None, 0
    for sentence in sentences(job):
        if 15 <= len(sentence) <= 160 and not (company and company in sentence) and not sentence.endswith(":"):
            mentions = _mentions(sentence, shared)
            if mentions > most:
                best, most = sentence, mentions
    return best.rstrip(".") if best else None


def _achievements(cv: list[str], *, shared: tuple[str, ...], name: str | None) -> tuple[str, ...]:
    scored = []
    for position, sentence in enumerate(sentences(cv)):
        if not 20 <= len(sentence) <= 240 or sentence == name or _NO_ACHIEVEMENT.search(sentence):
            continue
        did, figure = bool(_ACHIEVED.search(sentence)), bool(_FIGURE.search(sentence))
        score = 3 * did + 2 * figure + min(_mentions(sentence, shared), 3)
        scored.append((-score, position, sentence))
    best = sorted(scored)[:3]
    return tuple(sentence for _, _, sentence in sorted(best, key=lambda item: item[1]))


def _mentions(text: str, shared: tuple[str, ...]) -> int:
    lowered = text.lower()
    return sum(phrase.lower() in lowered for phrase in shared)

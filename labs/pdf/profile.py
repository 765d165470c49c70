"""What a resume says: what the user's profile holds, and what the description of the job does."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from labs.pdf.content import Entry, Resume, Section
from labs.pdf.words import words

# A NUL can't be stored in PostgreSQL's JSON; the pattern refuses it with the field's name.
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300, pattern=r"^[^\x00]*$")]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^[^\x00]*$")]
_Lines = Annotated[list[Line], Field(max_length=30)]
_BULLETS = "-*\u2022\u2013\u00b7"
_MOST_PARAGRAPHS, _MOST_POINTS = 4, 12
#: How to reach somebody says nothing of them.
_CONTACT = frozenset({"email", "phone", "location", "links"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Experience(_Part):
    """A position held."""

    title: Line
    company: Line = ""
    period: Line = ""
    highlights: _Lines = []


class Education(_Part):
    """A degree."""

    degree: Line
    school: Line = ""
    period: Line = ""


class Profile(_Part):
    """Who applies; whatever is missing is left out of the resume."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Ada Lovelace",
                "headline": "Backend Engineer",
                "email": "ada@example.org",
                "skills": ["Python", "RabbitMQ"],
                "experience": [
                    {"title": "Engineer", "company": "Analytical Engines", "highlights": ["Cut latency by 40 %"]}
                ],
            }
        },
    )

    name: Line = ""
    headline: Line = ""
    email: Line = ""
    phone: Line = ""
    location: Line = ""
    links: _Lines = []
    summary: _Text = ""
    skills: _Lines = []
    languages: _Lines = []
    experience: Annotated[list[Experience], Field(max_length=30)] = []
    education: Annotated[list[Education], Field(max_length=15)] = []


def with_profile(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata, if what they hold as `profile` is one.

    Raises:
        ValueError: it is none; the text names the field and never its value.
    """
    try:
        Profile.model_validate(metadata.get("profile") or {})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in ("profile", *first["loc"]))[:100]
        raise ValueError(f"{where}: {first['msg']}") from None
    return metadata


def has_profile(metadata: dict[str, Any]) -> bool:
    """Whether such metadata say who applies; without, a resume is a draft."""
    return (
        not Profile.model_validate(metadata.get("profile") or {}).model_dump(exclude_defaults=True).keys() <= _CONTACT
    )


def compose(description: str, metadata: dict[str, Any]) -> Resume:
    """The resume of a job with such metadata, tailored to a description if there is one.

    If nobody has said who applies, it says that it is a draft, under whatever address is known.
    """
    language = str(metadata.get("language") or "en")
    said = words(language)
    profile = Profile.model_validate(metadata.get("profile") or {})
    paragraphs, points = _read(description)
    entries = tuple(Entry(each.title, each.company, each.period, tuple(each.highlights)) for each in profile.experience)
    degrees = tuple(Entry(each.degree, each.school, each.period) for each in profile.education)
    name = profile.name or profile.email or said.candidate
    email = "" if name == profile.email else profile.email
    summary = profile.summary if has_profile(metadata) else said.draft
    return Resume(
        name=name,
        headline=profile.headline,
        contact=(email, profile.phone, profile.location, *profile.links),
        sections=(
            Section(said.profile, paragraphs=_if_any(summary)),
            Section(said.role, paragraphs=paragraphs, points=points),
            Section(said.experience, entries=entries),
            Section(said.education, entries=degrees),
            Section(said.skills, paragraphs=_if_any(", ".join(profile.skills))),
            Section(said.languages, paragraphs=_if_any(", ".join(profile.languages))),
        ),
        language=language,
    )


def _if_any(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _read(description: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paragraphs and the points of a description; of a long one what stands first."""
    lines = [line.strip() for line in description.splitlines() if line.strip(_BULLETS + " \t")]
    points = [line.lstrip(_BULLETS + " \t") for line in lines if line[0] in _BULLETS]
    paragraphs = [line for line in lines if line[0] not in _BULLETS]
    return tuple(paragraphs[:_MOST_PARAGRAPHS]), tuple(points[:_MOST_POINTS])

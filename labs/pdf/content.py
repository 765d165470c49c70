"""What a resume says, without a word on how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """A position held, or a degree: what, where, when, and what came of it."""

    title: str
    place: str = ""
    period: str = ""
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a resume; what it has none of is left out."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Resume:
    """What is to be set. `language` is a BCP 47 tag, for readers that speak."""

    name: str
    headline: str = ""
    contact: tuple[str, ...] = ()
    sections: tuple[Section, ...] = field(default_factory=tuple)
    language: str = "en"

    def texts(self) -> Iterator[str]:
        """Every text in it."""
        yield from (self.name, self.headline, *self.contact)
        for section in self.sections:
            yield from (section.heading, *section.paragraphs, *section.points)
            for entry in section.entries:
                yield from (entry.title, entry.place, entry.period, *entry.points)

"""Chapter 15: an index that is right whatever comes when."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

Index = dict[str, "Change"]


@dataclass(frozen=True)
class Change:
    """An event: which document, which version of it, and its title then."""

    document: str
    version: int
    title: str


_NEWEST = 4


def check_apply(apply: Callable[[Index, Change], None]) -> str:
    """Deliver the events of two documents in every order, and some of them again."""
    changes = [Change("a", version, f"Title {version}") for version in range(1, _NEWEST + 1)]
    chance = random.Random(15)  # noqa: S311 (no secret)
    for order in permutations(changes):
        index: Index = {}
        delivered = [*order, *chance.sample(changes, 2)]
        for change in delivered:
            apply(index, change)
            apply(index, Change("b", 1, "Another"))
        kept, another = index.get("a"), index.get("b")
        arrived = ", ".join(str(change.version) for change in delivered)
        if another is None or another.version != 1:
            return "Not yet: what is new to the index is missing from it."
        if kept is None or kept.version != _NEWEST:
            found = "nothing" if kept is None else f"version {kept.version}"
            return f"Not yet: versions {arrived} arrived in this order, and the index holds {found}."
    return "Solved: in every order, and with duplicates, the newest version stays."

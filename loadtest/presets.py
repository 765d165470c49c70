"""The usual questions and configurations by name, and any other as `key=value,key=value`."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from loadtest.engine.plan import Plan, PlanError


@dataclass(frozen=True)
class Variant:
    """What one side of a comparison changes in the plan."""

    name: str
    changes: Mapping[str, Any]

    def of(self, plan: Plan) -> Plan:
        """The plan with these changes.

        Raises:
            PlanError: together they make no plan.
        """
        try:
            return plan.with_(**self.changes)
        except PlanError as error:
            raise PlanError(f"{self.name}: {error}") from error


#: By name: what one would compare.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "classic": {"queue_type": "classic"},
    "quorum": {"queue_type": "quorum"},
    "stream": {"queue_type": "stream"},
    "persistent": {"persistent": True},
    "transient": {"persistent": False},
    "fast": {"queue_type": "classic", "persistent": False, "window": 1000, "ack_every": 100},
    "safe": {"queue_type": "quorum", "persistent": True, "window": 300, "ack_every": 1},
}


def _values(field: str, *values: Any) -> tuple[Variant, ...]:
    return tuple(Variant(f"{field}={value}", {field: value}) for value in values)


def _named(*names: str) -> tuple[Variant, ...]:
    return tuple(Variant(name, CONFIGURATIONS[name]) for name in names)


def _crews(*counts: int) -> tuple[Variant, ...]:
    """Consumers that take one message at a time: what a further one brings, and where none brings more."""
    return tuple(Variant(f"consumers={n}", {"consumers": n, "prefetch": 1, "ack_every": 1}) for n in counts)


def _prefetches(*counts: int) -> tuple[Variant, ...]:
    """Acknowledged in quarters: a consumer that had to wait for all of them would stand still in between."""
    return tuple(Variant(f"prefetch={n}", {"prefetch": n, "ack_every": max(1, n // 4)}) for n in counts)


#: The usual questions: the first variant is what the others are compared with.
QUESTIONS: dict[str, tuple[Variant, ...]] = {
    "safety": _named("fast", "safe"),
    "classic-or-quorum": _named("classic", "quorum"),
    "persistent-or-not": _named("persistent", "transient"),
    "prefetch": _prefetches(1, 10, 100, 1000),
    "message-size": _values("size", 100, 1000, 10_000, 100_000),
    "confirm-window": _values("window", 1, 10, 100, 1000),
    "queues": _values("queues", 1, 2, 4),
    "consumers": _crews(1, 2, 4, 8),
    "clients": _values("client", "engine", "pika", "aio-pika"),
}


def variants_of(asked: Sequence[str]) -> tuple[Variant, ...]:
    """What is to be compared: a question, or two or more configurations.

    Args:
        asked: one name of a question; or names of configurations and sets such as `queue_type=quorum,prefetch=100`.

    Raises:
        PlanError: there is no such question, configuration, key or value; the text says what there is.
    """
    if len(asked) == 1:
        if asked[0] not in QUESTIONS:
            raise PlanError(
                f"one word is a question, and {asked[0]!r} is none: choose from {', '.join(QUESTIONS)}; "
                "or give two configurations, for example: queue_type=classic queue_type=quorum"
            )
        return QUESTIONS[asked[0]]
    found = tuple(_variant(text) for text in asked)
    if len({variant.name for variant in found}) < len(found):
        raise PlanError("a configuration can't be compared with itself: give two that differ")
    return found


def _variant(text: str) -> Variant:
    if text in CONFIGURATIONS:
        return Variant(text, CONFIGURATIONS[text])
    if "=" not in text:
        raise PlanError(f"{text!r} is no configuration: choose from {', '.join(CONFIGURATIONS)}, or give key=value")
    changes: dict[str, Any] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator:
            raise PlanError(f"{part!r} in {text!r} is not key=value")
        changes.update([_read(key.strip().replace("-", "_"), value.strip())])
    return Variant(text, changes)


def _read(key: str, value: str) -> tuple[str, Any]:
    kinds = get_type_hints(Plan)
    for alias in (key, f"{key}_s"):  # seconds may be left out, as in the options
        if alias in kinds:
            return alias, _converted(key, value, kinds[alias])
    near = get_close_matches(key, kinds, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}"
    raise PlanError(f"a plan has no {key!r}: {hint}")


def _converted(key: str, value: str, kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        if value == "max":
            return None
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise PlanError(f"{key}={value}: choose from {', '.join(get_args(kind))}")
        return value
    if kind is bool:
        if value.lower() not in _TRUTH:
            raise PlanError(f"{key}={value}: say yes or no")
        return _TRUTH[value.lower()]
    try:
        return kind(value)
    except ValueError as error:
        raise PlanError(f"{key}={value}: give a number") from error


_TRUTH = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}

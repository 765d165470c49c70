"""A fault: something of the system on trial is broken, seen to be broken from outside, and mended again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from labs.trial.site import Site
from labs.trial.subjects import Subject
from labs.trial.targets import CLUSTER, COMPOSE, NODE, TARGETS

EVERYWHERE = frozenset(TARGETS)
#: A cluster has no process that is all of it.
ONE_NODE = frozenset({NODE, COMPOSE})
#: Of a cluster and of RabbitMQ 4.3 nobody has seen how they say it.
ALONE = frozenset({NODE})
CLUSTER_ONLY = frozenset({CLUSTER})


def _any(_: Subject) -> bool:
    return True


def with_jobs(subject: Subject) -> bool:
    """Whether a system has jobs, with claims and statuses."""
    return bool(subject.table)


def with_model(subject: Subject) -> bool:
    """Whether a system asks a model."""
    return subject.asks_model


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Args:
        name: on the command line.
        begins: how, in a few words.
        heals: who mends it and how.
        inject: breaks when entered, and gives the proof that it is broken; mends when left. Raises `TrialFailed` if
            the break isn't seen from outside.
        hold_s: seconds between the two.
        applies: to which systems.
        targets: on which it can be met.
    """

    name: str
    begins: str
    heals: str
    inject: Callable[[Site], AbstractContextManager[str]]
    hold_s: float = 0.5
    applies: Callable[[Subject], bool] = _any
    targets: frozenset[str] = EVERYWHERE

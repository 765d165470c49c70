"""Alarms on purpose, for failure tests and drills: a broker that believes it has nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_MODULE = "vm_memory_monitor"


class Controllable(Protocol):
    """A broker whose `rabbitmqctl` can be run: `Node`, `Cluster`, or one in a container."""

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints."""


@contextmanager
def out_of_memory(broker: Controllable) -> Iterator[None]:
    """For the length of a block the broker reads nothing from whoever publishes; its limit is then what it was before.

    Raises:
        BrokerUnavailable: it can't be told.
    """
    usual = broker.control("eval", f"{_MODULE}:get_vm_memory_high_watermark().").strip()
    broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        broker.control("eval", f"{_MODULE}:set_vm_memory_high_watermark({usual}).")

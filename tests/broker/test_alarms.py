"""A broker whose memory is taken away gets back the limit that it had, whatever happens meanwhile."""

from __future__ import annotations

import pytest

from labs.broker.alarms import out_of_memory


class Recorded:
    """Answers with a limit, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def control(self, *arguments: str) -> str:
        self.told.append(" ".join(arguments))
        return "{absolute,5000000}\n" if "get_vm" in arguments[-1] else ""


def broken_off(broker: Recorded) -> None:
    with out_of_memory(broker):
        assert broker.told[-1] == "set_vm_memory_high_watermark absolute 1MB"
        raise InterruptedError


def test_the_limit_is_set_back_to_what_it_was() -> None:
    broker = Recorded()
    with pytest.raises(InterruptedError):
        broken_off(broker)
    assert broker.told[-1] == "eval vm_memory_monitor:set_vm_memory_high_watermark({absolute,5000000})."

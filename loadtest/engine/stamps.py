"""What every message carries at the start of its body: who sent it, as which, when it was meant to go and when it went.

A check word over all of it, and a filler that both sides know, make any change on the way visible.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x4C414231

STAMP = np.dtype(
    [
        ("magic", "<u4"),
        ("producer", "<u4"),
        ("run", "<u8"),
        ("sequence", "<i8"),
        ("intended_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("check", "<u8"),
    ]
)
#: Bytes: no message of a run is smaller.
SIZE: int = STAMP.itemsize

Stamps = NDArray[Any]

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_FACTOR, _WORD = int(_SPREAD), (1 << 64) - 1
_PACKED = struct.Struct("<IIQqqqQ")


def stamp(
    *, run: int, producer: int, sequences: NDArray[np.int64], intended_ns: NDArray[np.int64], sent_ns: int
) -> Stamps:
    """Stamps of messages that go out together."""
    made = np.empty(len(sequences), STAMP)
    made["magic"] = MAGIC
    made["producer"] = producer
    made["run"] = run
    made["sequence"] = sequences
    made["intended_ns"] = intended_ns
    made["sent_ns"] = sent_ns
    made["check"] = check(made)
    return made


def packed(*, run: int, producer: int, sequence: int, intended_ns: int, sent_ns: int) -> bytes:
    """The stamp of a message that goes alone: the same bytes as `stamp` makes, sooner than an array of one."""
    word = (sequence * _FACTOR & _WORD) ^ intended_ns
    word = (word + sent_ns) * _FACTOR & _WORD
    return _PACKED.pack(MAGIC, producer, run, sequence, intended_ns, sent_ns, word ^ run ^ producer)


def sequence_of(body: bytes | memoryview) -> int | None:
    """The number of a message by its body; None if it isn't one of ours, or was changed."""
    if len(body) < SIZE:
        return None
    found = np.frombuffer(body[:SIZE], STAMP)
    return int(found["sequence"][0]) if is_whole(found)[0] else None


def check(stamps: Stamps) -> NDArray[np.uint64]:
    """The check word that belongs to each stamp."""
    word = stamps["sequence"].astype(np.uint64) * _SPREAD
    word ^= stamps["intended_ns"].astype(np.uint64)
    word = (word + stamps["sent_ns"].astype(np.uint64)) * _SPREAD
    return np.asarray(word ^ stamps["run"] ^ stamps["producer"].astype(np.uint64), np.uint64)


def is_whole(stamps: Stamps) -> NDArray[np.bool_]:
    """Whether each stamp is one of ours and unchanged."""
    return np.asarray((stamps["magic"] == MAGIC) & (stamps["check"] == check(stamps)))


@lru_cache(maxsize=8)
def filler(size: int) -> bytes:
    """What follows the stamp in a body of that size: it can't be compressed, and both sides can make it."""
    return np.random.default_rng(size).bytes(size - SIZE)

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
#: The same as words of eight bytes, which numpy takes sooner than the fields of a record.
_WORDS = SIZE // 8
_MARKS, _RUN, _SEQUENCE, _INTENDED, _SENT, _CHECK = range(_WORDS)

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_FACTOR, _WORD = int(_SPREAD), (1 << 64) - 1
_PACKED = struct.Struct("<IIQqqqQ")


def stamp(
    *, run: int, producer: int, sequences: NDArray[np.int64], intended_ns: NDArray[np.int64], sent_ns: int
) -> Stamps:
    """Stamps of messages that go out together."""
    words = np.empty((len(sequences), _WORDS), "<u8")
    words[:, _MARKS] = producer << 32 | MAGIC
    words[:, _RUN] = run
    words[:, _SEQUENCE] = sequences
    words[:, _INTENDED] = intended_ns
    words[:, _SENT] = sent_ns
    words[:, _CHECK] = _check(words)
    return words.view(STAMP).reshape(-1)


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


def is_whole(stamps: Stamps) -> NDArray[np.bool_]:
    """Whether each stamp is one of ours and unchanged; they lie one behind the other in memory."""
    words = stamps.view("<u8").reshape(-1, _WORDS)
    return np.asarray((stamps["magic"] == MAGIC) & (words[:, _CHECK] == _check(words)))


def _check(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The check word that belongs to each stamp."""
    word = words[:, _SEQUENCE] * _SPREAD
    word ^= words[:, _INTENDED]
    word += words[:, _SENT]
    word *= _SPREAD
    word ^= words[:, _RUN]
    word ^= words[:, _MARKS] >> _HALF
    return word


@lru_cache(maxsize=8)
def filler(size: int) -> bytes:
    """What follows the stamp in a body of that size: it can't be compressed, and both sides can make it."""
    return np.random.default_rng(size).bytes(size - SIZE)

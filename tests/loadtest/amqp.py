"""What a broker sends, marshalled by pamqp: the reference that the engine's readers are held against."""

from __future__ import annotations

import numpy as np
from pamqp import commands

from loadtest.engine import stamps
from loadtest.engine.frames import content, marshalled

RUN = 7


def stamped_body(sequence: int, *, size: int, run: int = RUN, producer: int = 3) -> bytes:
    made = stamps.stamp(
        run=run,
        producer=producer,
        sequences=np.array([sequence], np.int64),
        intended_ns=np.array([sequence * 1000], np.int64),
        sent_ns=sequence * 1000 + 17,
    )
    return made.tobytes() + stamps.filler(size)


def delivery(
    tag: int,
    body: bytes,
    *,
    redelivered: bool = False,
    headers: dict[str, object] | None = None,
    frame_max: int = 131_072,
    consumer: str = "ctag1",
    key: str = "load.q",
) -> bytes:
    method = commands.Basic.Deliver(
        consumer_tag=consumer, delivery_tag=tag, redelivered=redelivered, exchange="", routing_key=key
    )
    properties = commands.Basic.Properties(delivery_mode=2, headers=headers)
    return content(method, body, properties, frame_max=frame_max)


def ack(tag: int, *, multiple: bool = False) -> bytes:
    return marshalled(commands.Basic.Ack(delivery_tag=tag, multiple=multiple))


def nack(tag: int, *, multiple: bool = False) -> bytes:
    return marshalled(commands.Basic.Nack(delivery_tag=tag, multiple=multiple, requeue=False))


def returned(body: bytes, *, frame_max: int = 131_072) -> bytes:
    method = commands.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="gone")
    return content(method, body, commands.Basic.Properties(delivery_mode=2), frame_max=frame_max)

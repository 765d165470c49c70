"""Chapter 03: in which queues a message arrives, what becomes of one that nobody wants, and what bindings cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError

from labs.patterns.routing import declare_exchange, publish

YES, NO = "✓", "-"


def arrivals(
    channel: BlockingChannel,
    key: str,
    headers: Mapping[str, str] | None = None,
    *,
    exchanges: Iterable[str],
    queues: Iterable[str],
) -> dict[str, int]:
    """Publish a message once to each exchange; how many copies each queue got. The queues are empty afterwards."""
    for exchange in exchanges:
        with contextlib.suppress(UnroutableError):
            publish(channel, exchange, key, b"", headers=headers)
    return {queue: _taken(channel, queue) for queue in queues}


def _taken(channel: BlockingChannel, queue: str) -> int:
    """Take out all that is in a queue; returns how much it was."""
    taken = 0
    while channel.basic_get(queue, auto_ack=True)[0] is not None:
        taken += 1
    return taken


def as_cells(arrived: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], str]:
    """Arrivals by message and queue, as words for a grid."""
    return {(message, queue): YES if n else NO for message, got in arrived.items() for queue, n in got.items()}


def judge(guesses: Mapping[str, str], arrived: Mapping[str, Mapping[str, int]]) -> str:
    """How many cells were predicted right.

    Args:
        guesses: by message the letters of the queues, each the beginning of a queue's name.
        arrived: by message and queue, as measured.
    """
    if not any(guesses.values()):
        return "You made no guess: write letters into the cell above and run both again."
    wrong = [
        f"{message} -> {queue}"
        for message, got in arrived.items()
        for queue, count in got.items()
        if (queue[0] in guesses.get(message, "").lower()) != bool(count)
    ]
    cells = sum(map(len, arrived.values()))
    return f"Right: {cells - len(wrong)} of {cells}." + "".join(f"\n  look again at {cell}" for cell in wrong)


def fate(channel: BlockingChannel, exchange: str, *, mandatory: bool, kept_in: str) -> str:
    """What becomes of a message that no binding of the exchange wants: `confirmed, gone`, `returned` or `kept`."""
    try:
        if mandatory:
            publish(channel, exchange, "nobody.wants.this", b"")
        else:
            channel.basic_publish(exchange, "nobody.wants.this", b"")  # waits for the confirm, too
    except UnroutableError:
        return "returned"
    return "kept" if _taken(channel, kept_in) else "confirmed, gone"


def exchanges_with(bindings: int, channel: BlockingChannel) -> dict[str, str]:
    """A topic and a headers exchange with so many bindings, one of which wants shop 1; their names by type."""
    names = {kind: f"cost.{kind}.{bindings}" for kind in ("topic", "headers")}
    for kind, name in names.items():
        declare_exchange(channel, name, kind)
        for shop in range(1, bindings + 1):
            channel.queue_bind("cost", name, f"shop.{shop}.#", arguments=_all_of(shop) if kind == "headers" else None)
    return names


def _all_of(shop: int) -> dict[str, str]:
    return {"x-match": "all", "event": "paid", "shop": str(shop)}


def routing_times_ms(
    channel: BlockingChannel, sizes: Sequence[int], *, rounds: int
) -> dict[tuple[str, int], list[float]]:
    """How long a publish and its confirm take, by type of exchange and number of its bindings.

    One queue gets every message, and the exchanges take turns: what disturbs one disturbs all.
    """
    channel.queue_declare("cost", durable=True)
    names = {(kind, size): name for size in sizes for kind, name in exchanges_with(size, channel).items()}
    took_ms: dict[tuple[str, int], list[float]] = {case: [] for case in names}
    properties = BasicProperties(headers={"event": "paid", "shop": "1"})
    for _ in range(rounds):
        for case, name in names.items():
            started = time.perf_counter()
            channel.basic_publish(name, "shop.1.paid", b"", properties, mandatory=True)
            took_ms[case].append((time.perf_counter() - started) * 1000)
    return took_ms

"""What the load generator's client costs: the engine beside stock pika and aio-pika, on the same broker, in turn.

One producer, one consumer, one durable classic queue, persistent messages of 1,000 bytes, prefetch 2,000, an ack for
every 100. Messages per second are those that were received over the load, without its first seconds.
"""

from __future__ import annotations

from typing import Any

from benchmarks.report import Figure
from labs.broker import virtual_host
from labs.settings import load_settings
from loadtest.engine.plan import Plan
from loadtest.engine.result import Result
from loadtest.engine.run import execute

#: More than pika can publish: so it goes as fast as it can, without confirms.
_FLOOD = 100_000.0


def plan(*, seconds: float, **changes: Any) -> Plan:
    """A load at full speed, with a confirm window of 300."""
    return Plan(**{"rate": None, "duration_s": seconds, "warmup_s": seconds / 4, "window": 300, **changes})


def run(wanted: Plan) -> Result:
    """One run on the lab's broker, in a virtual host of its own; what it gives is whole, or nothing is measured.

    Raises:
        RuntimeError: messages were lost or changed: no figure of such a run means anything.
    """
    with virtual_host("bench", settings=load_settings()) as vhost:
        result = execute(wanted, vhost.amqp_url)
    if not result.integrity.is_whole:
        raise RuntimeError(f"messages were lost or changed: {result.integrity}")
    return result


def clients(*, quick: bool = False) -> list[Figure]:
    """The engine with confirms, pika without any, aio-pika with the same confirms as the engine: one after the other.

    CPU per message is user and system time of the engine's two processes from the start of the load to its end,
    divided by all messages.
    """
    seconds = 3.0 if quick else 10.0
    engine = run(plan(seconds=seconds))
    pika = run(plan(seconds=seconds, client="pika", rate=_FLOOD, window=0, drain_s=2.0))
    aio_pika = run(plan(seconds=seconds, client="aio-pika"))
    rates = [result.rate("received") for result in (engine, pika, aio_pika)]
    cpu_us = {kind: spent_s / engine.integrity.sent * 1e6 for kind, spent_s in engine.cpu_s.items()}
    return [
        Figure("engine, confirm window 300: end to end", rates[0], "messages/s"),
        Figure("stock pika, no confirms", rates[1], "messages/s"),
        Figure("stock aio-pika, confirm window 300", rates[2], "messages/s"),
        Figure("  engine against pika", rates[0] / rates[1], "times", at_least=1.3),
        Figure("  engine against aio-pika", rates[0] / rates[2], "times", at_least=4),
        Figure("  engine's CPU for publishing a message, confirm read", cpu_us["publishing"], "µs", at_most=1),
        Figure("  engine's CPU for consuming a message, acknowledged", cpu_us["consuming"], "µs", at_most=5),
    ]

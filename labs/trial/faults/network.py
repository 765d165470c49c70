"""Faults of the network between programs and broker; the tap makes their weather.

Each is seen by somebody else than the tap that makes it: the broker's log, a client of its own, or what the system
did then.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import psutil

from labs.trial import operations as op
from labs.trial.faults.fault import Fault
from labs.trial.history import Event
from labs.trial.site import Site, TrialFailed
from labs.trial.tap.storms import AcksHeldBack, BlackHole, Copies, Drip, ForeignAcks, ResetMidPublish, SwallowedConfirms

#: For the load to bring what is to be befallen.
_LOAD_TIMEOUT_S = 60.0
_RESETS = 3
#: Of each sort: publishers' channels and consumers'.
_CHANNELS = 2
_HELD_ACKS, _HOLD_S = 2, 2.0
_DUPLICATES = 30
_LATENCY_S, _PIECE, _PAUSE_S = 0.04, 61, 0.004
#: A handshake is more than ten frames in turn, which take some milliseconds in calm weather.
_SLOW_S = 0.4


@contextmanager
def network_reset_mid_publish(site: Site) -> Iterator[str]:
    """Connections are reset when the broker has half of a message."""
    before = _lines(site, _ABRUPT)
    with site.tap.under(ResetMidPublish(_RESETS)) as weather:
        site.seen(lambda: weather.left == 0, f"{_RESETS} publishes to break off")
        yield site.seen(
            lambda: _lines(site, _ABRUPT) >= before + _RESETS,
            f"the broker's log says that {_RESETS} connections were closed without a word",
        )


@contextmanager
def network_black_hole(site: Site) -> Iterator[str]:
    """Connections stay open and nothing goes through, until both sides of each have missed the other's heartbeats."""
    before, open_ones = _lines(site, _MISSED), _sockets(site)
    with site.tap.under(BlackHole()):
        given_up = site.seen(
            lambda: not open_ones & _sockets(site), f"programs have given all {len(open_ones)} connections up"
        )
        missed = site.seen(
            lambda: _lines(site, _MISSED) > before, "the broker's log says that it has missed heartbeats"
        )
        yield f"{given_up}, and {missed}"


def _sockets(site: Site) -> set[tuple[int, int]]:
    """Process and port of each of the system's connections to the broker."""
    running = [psutil.Process(child.pid) for child in site.stack.children if child.is_running]
    return {
        (process.pid, each.laddr.port)
        for process in running
        for each in process.net_connections("tcp")
        if each.raddr and each.raddr.port == site.tap.port and each.status == psutil.CONN_ESTABLISHED
    }


@contextmanager
def network_slow(site: Site) -> Iterator[str]:
    """Every frame comes late and byte by byte."""
    with site.tap.under(Drip(latency_s=_LATENCY_S, piece=_PIECE, pause_s=_PAUSE_S)):
        started = time.monotonic()
        pika.BlockingConnection(pika.URLParameters(site.amqp_url)).close()
        took_s = time.monotonic() - started
        if took_s < _SLOW_S:
            raise TrialFailed(f"a connection came and went in {took_s:.2f} s: that is not slow")
        yield f"a connection took {took_s:.1f} s to come and go"


@contextmanager
def confirm_swallowed(site: Site) -> Iterator[str]:
    """Confirms never arrive: publishers can't know what became of their messages, which the broker has."""
    query = "SELECT id FROM outbox WHERE last_error LIKE 'no confirm within%%'"
    before = {row["id"] for row in site.rows(query)}
    with site.tap.under(SwallowedConfirms()) as weather:
        site.seen(lambda: weather.swallowed > 0, "a confirm to swallow")
        given_up = site.seen(
            lambda: bool({row["id"] for row in site.rows(query)} - before),
            "the outbox says that a confirm didn't come in time",
        )
        yield f"{weather.swallowed} confirms didn't arrive, and {given_up}"


@contextmanager
def ack_held_back(site: Site) -> Iterator[str]:
    """Acks are on their way for seconds, and never arrive: what the consumer has done and forgotten comes again.

    An ack that is only late does no harm: the broker waits. One that is lost makes a delivery of what is done.
    """
    since = len(site.history.events)
    with site.tap.under(AcksHeldBack(_HELD_ACKS, hold_s=_HOLD_S)) as weather:
        site.seen(lambda: weather.broken == _HELD_ACKS, f"{_HELD_ACKS} acks to hold back")
        yield site.seen(
            lambda: _delivered_after_ack(site.history.events[since:]), "a message that was acked is delivered again"
        )


@contextmanager
def delivery_duplicated(site: Site) -> Iterator[str]:
    """What the system publishes arrives twice, as after a publisher's retry: two deliveries, neither marked as such.

    The copies come from a client of the trial's own. Twice the same delivery on one channel would be a fault that no
    broker has: its second ack costs the channel.
    """
    with (
        site.tap.under(Copies()) as weather,
        pika.BlockingConnection(pika.URLParameters(site.direct_url)) as connection,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(_DUPLICATES):
            try:
                copy = weather.seen.get(timeout=_LOAD_TIMEOUT_S)
            except queue.Empty:
                raise TrialFailed("nothing was published that could be copied") from None
            channel.basic_publish(copy.exchange, copy.routing_key, copy.body, copy.properties)
        yield f"the broker has confirmed copies of {_DUPLICATES} messages"


@contextmanager
def channel_error(site: Site) -> Iterator[str]:
    """The broker closes channels, of publishers and of consumers, since each seems to ack what it never got."""
    before = _lines(site, _CHANNEL_ERROR)
    with site.tap.under(ForeignAcks(_CHANNELS)) as weather:
        site.seen(lambda: not any(weather.left.values()), f"{_CHANNELS} publishers and consumers to confuse")
        yield site.seen(
            lambda: _lines(site, _CHANNEL_ERROR) >= before + 2 * _CHANNELS,
            f"the broker's log says that it has closed {2 * _CHANNELS} channels",
        )


_ABRUPT = "client unexpectedly closed TCP connection"
_MISSED = "missed heartbeats from client"
_CHANNEL_ERROR = "caused a channel exception precondition_failed: unknown delivery tag"


def _lines(site: Site, text: str) -> int:
    return site.node.read_log().count(text)


def _delivered_after_ack(events: list[Event]) -> bool:
    acked: set[tuple[str, str]] = set()
    for event in events:
        about = (event.queue, event.message)
        if event.operation == op.SETTLE and event.value == op.ACK:
            acked.add(about)
        elif event.operation == op.DELIVER and event.value == op.REDELIVERED and about in acked:
            return True
    return False


NETWORK_FAULTS = (
    Fault(
        name="network-reset-mid-publish",
        begins="connections are reset between the frames of a publish",
        heals="the system connects and publishes again",
        inject=network_reset_mid_publish,
    ),
    Fault(
        name="network-black-hole",
        begins="connections stay open and nothing goes through, until all heartbeats are missed",
        heals="the network is there again",
        inject=network_black_hole,
    ),
    Fault(
        name="network-slow",
        begins=f"every frame comes {_LATENCY_S * 1000:g} ms late, {_PIECE} bytes at a time",
        heals="the network is fast again",
        inject=network_slow,
        hold_s=6.0,
    ),
    Fault(
        name="confirm-swallowed",
        begins="confirms of the broker don't reach their publishers",
        heals="the publishers give up waiting, and publish again",
        inject=confirm_swallowed,
    ),
    Fault(
        name="ack-held-back",
        begins=f"acks are on their way for {_HOLD_S:g} s, then their connections are reset",
        heals="the broker delivers again, and the consumers see that it is done",
        inject=ack_held_back,
    ),
    Fault(
        name="delivery-duplicated",
        begins=f"{_DUPLICATES} messages arrive twice",
        heals="the consumers see that they have had them",
        inject=delivery_duplicated,
    ),
    Fault(
        name="channel-error",
        begins="the broker closes channels of publishers and consumers with an exception (406)",
        heals="the system opens them again",
        inject=channel_error,
    ),
)

"""Who can tell that a fault truly happened: each looks at something else than the fault itself does."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import pika
import psutil
import psycopg
from pika.exceptions import AMQPError, ChannelClosedByBroker

from labs.errors import LabError
from labs.llm.dials import Fault as Way
from labs.store.server import PostgresServer
from labs.trial import operations as op
from labs.trial.site import Site

#: Looked at before the fault begins; the answer looks while it lasts.
Witness = Callable[[Site], Callable[[], object]]


def killed(kind: str) -> Witness:
    """One of the processes that ran, or one that was started meanwhile, was ended by SIGKILL."""

    def before(site: Site) -> Callable[[], object]:
        ended = {child.name for child in site.stack.children if not child.is_running}

        def look() -> bool:
            fresh = [child for child in site.stack.children if not child.is_running and child.name not in ended]
            return [child.wait(timeout_s=1) for child in fresh if child.name.startswith(kind)] == [-9]

        return look

    return before


def ended_by_itself(site: Site) -> Callable[[], object]:
    running = site.workers()
    return lambda: [child.wait(timeout_s=1) for child in running if not child.is_running] == [0]


def frozen(kind: str) -> Witness:
    def before(site: Site) -> Callable[[], object]:
        def stopped(pid: int) -> bool:
            return psutil.Process(pid).status() == psutil.STATUS_STOPPED

        return lambda: sum(stopped(child.pid) for child in site.stack.of(kind)) == 1

    return before


def closed(port_of: Callable[[Site], int]) -> Witness:
    """Nothing listens there."""

    def before(site: Site) -> Callable[[], object]:
        def look() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port_of(site))) != 0

        return look

    return before


def broker_port(site: Site) -> int:
    return urlsplit(site.node.amqp_url).port or 0


def api_port(site: Site) -> int:
    return urlsplit(site.api_url).port or 0


def alarm(name: str) -> Witness:
    return lambda site: lambda: name in site.node.control("eval", "rabbit_alarm:get_alarms().")


def broker_says(what: str) -> Witness:
    """A new line in the broker's log."""

    def before(site: Site) -> Callable[[], object]:
        def lines() -> int:
            return len(re.findall(what, site.node.read_log()))

        known = lines()
        return lambda: lines() > known

    return before


def published_again(site: Site) -> Callable[[], object]:
    """Messages were lost: some that were confirmed are published again, since they had no effect."""
    again = "SELECT count(*) AS n FROM outbox WHERE publishes > 1 OR (publishes = 1 AND published_at IS NULL)"
    known = site.rows(again)[0]["n"]
    return lambda: site.rows(again)[0]["n"] > known


def refused(site: Site) -> Callable[[], object]:
    def look() -> bool:
        try:
            with pika.BlockingConnection(pika.URLParameters(site.direct_url)) as connection:
                connection.channel().queue_declare("mine", durable=True)
        except ChannelClosedByBroker as error:
            return error.reply_code == 403
        except AMQPError:
            return False
        return False

    return look


def no_database(site: Site) -> Callable[[], object]:
    def look() -> bool:
        try:
            psycopg.connect(site.database_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return True
        return False

    return look


def database_says(what: str) -> Witness:
    """A new line in the private server's log."""

    def before(site: Site) -> Callable[[], object]:
        server = site.postgres
        assert isinstance(server, PostgresServer)
        known = server.log.read_text(errors="replace").count(what)
        return lambda: server.log.read_text(errors="replace").count(what) > known

    return before


def calls_end(way: Way) -> Witness:
    """The clients of the model have met it: workers say so in their logs."""

    def before(site: Site) -> Callable[[], object]:
        def look() -> bool:
            with site.stack.stub as stub:
                return any(call.outcome == way for call in stub.ledger(outcome=way.value, limit=1).calls)

        return look

    return before


def logs_say(what: str) -> Witness:
    """A new line in the log of a process of the system: it has met what was done to it."""

    def before(site: Site) -> Callable[[], object]:
        def lines() -> int:
            return sum(
                len(re.findall(what, child.log.read_text(errors="replace")))
                for child in site.stack.children
                if child.log.exists()
            )

        known = lines()
        return lambda: lines() > known

    return before


def publishes_end(*errors: str) -> Witness:
    """A publish of the system ended in one of these ways."""

    def before(site: Site) -> Callable[[], object]:
        since = len(site.history.events)
        return lambda: any(
            event.operation == op.PUBLISH and event.error in errors for event in site.history.events[since:]
        )

    return before


def relayed_late(site: Site) -> Callable[[], object]:
    """What was put into the outbox meanwhile took longer to be published than in calm weather."""
    [now] = site.rows("SELECT clock_timestamp() AS at")
    slow = "SELECT 1 FROM outbox WHERE created_at > %s AND published_at - created_at > interval '0.3 s'"
    return lambda: site.rows(slow, now["at"])


def delivered_more_often_than_published(site: Site) -> Callable[[], object]:
    """And none of the deliveries is marked as one that comes again."""
    since = len(site.history.events)

    def look() -> bool:
        events = site.history.events[since:]
        published = Counter(e.message for e in events if e.operation == op.PUBLISH and e.kind == "invoke")
        fresh = Counter((e.queue, e.message) for e in events if e.operation == op.DELIVER and e.value != op.REDELIVERED)
        return any(times > published[message] > 0 for (_, message), times in fresh.items())

    return look


def effects_stay(site: Site) -> Callable[[], object]:
    """Messages come again, marked as such, whose effect was committed before."""
    since = len(site.history.events)

    def look() -> bool:
        again = [e.message for e in site.history.events[since:] if e.value == op.REDELIVERED]
        return bool(again) and bool(site.rows("SELECT 1 FROM inbox WHERE message_id::text = ANY(%s)", again))

    return look


def answers_late(site: Site) -> Callable[[], object]:
    slow = "SELECT 1 FROM job_history WHERE step = 'completed' AND (detail ->> 'modelSeconds')::float > 1.1"
    return lambda: site.rows(slow)


TOO_LATE = "closed by the broker: 406 PRECONDITION_FAILED - .*acknowledgement"

WITNESSES: dict[str, Witness] = {
    "worker-kill": killed("worker"),
    "worker-kill-before-effect": killed("worker"),
    "worker-kill-before-ack": killed("worker"),
    "worker-kill-before-retry-ack": killed("worker"),
    "worker-sigterm": ended_by_itself,
    "worker-stop": frozen("worker"),
    "relay-kill": killed("relay"),
    "relay-stop": frozen("relay"),
    "api-kill": closed(api_port),
    "broker-restart": closed(broker_port),
    "broker-stop-app": lambda site: lambda: "false" in site.node.control("eval", "rabbit:is_running()."),
    "memory-alarm": alarm("memory"),
    "disk-alarm": alarm("disk"),
    "connections-closed": broker_says("closed by the lab|CONNECTION_FORCED"),
    "queue-deleted": published_again,
    "queue-purged": published_again,
    "permission-revoked": refused,
    "publish-nacked": publishes_end("nacked"),
    "consumer-timeout": lambda site: lambda: site.consumers_missing() > 0,
    "handler-hangs": logs_say(TOO_LATE),
    "network-reset-mid-publish": publishes_end("connection lost"),
    "network-black-hole": logs_say("heartbeat"),
    "network-slow": relayed_late,
    "confirm-swallowed": publishes_end("channel closed", "connection lost"),
    "ack-held-back": effects_stay,
    "delivery-duplicated": delivered_more_often_than_published,
    "channel-error": logs_say("closed by the broker: 406 PRECONDITION_FAILED - unknown delivery tag"),
    "database-restart": no_database,
    "serialization-failure": logs_say("could not serialize access"),
    "database-connections-cut": database_says("terminating connection due to administrator command"),
    **{f"model-{way.value.replace('_', '-')}": calls_end(way) for way in Way},
    "model-slow": answers_late,
}


def healthy(site: Site) -> bool:
    """Everything answers again, and every queue has its consumers."""
    try:
        missing = site.consumers_missing()
        site.rows("SELECT 1")
    except (LabError, psycopg.Error):
        return False
    return site.node.is_running() and not missing and bool(site.stack.of("api"))

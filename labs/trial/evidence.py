"""What is left of a trial, put into its history: rows of the database, the model's ledger, the broker's queues."""

from __future__ import annotations

from labs.broker import depths
from labs.llm.ledger import CAPACITY
from labs.messaging.topology import retry_queue
from labs.processes import wait_until
from labs.store.asking import committed_at
from labs.trial import operations as op
from labs.trial.history import History, Ids
from labs.trial.site import SETTINGS, Site, monotonic_ns

_STEPS = "SELECT job_id, step, at, attempt, worker FROM job_history ORDER BY id"
#: What the management API says of unacknowledged messages may be so old: such a figure passes, a message stays.
_STALE_S = 15.0
#: Such a row is never changed.
_EFFECTS = (
    "SELECT consumer, message_id::text AS message, outcome, "  # noqa: S608 - constants
    f"{committed_at('xmin', written='at')} AS at FROM inbox ORDER BY at"
)


def write_down(site: Site, history: History, *, offset_ns: int) -> None:
    """All of it. `offset_ns` is that of the clocks, see `monotonic_ns`.

    Raises:
        LabError: a part doesn't answer.
    """
    _database(site, history, offset_ns)
    _ledger(site, history)
    _queues(site, history)


def _database(site: Site, history: History, offset_ns: int) -> None:
    subject = site.subject
    for row in site.rows(subject.rows):
        ids = Ids(request=row["request"] or "", job=row["job"])
        history.add("database", "ok", op.ROW, ids, at_ns=monotonic_ns(row["at"], offset_ns=offset_ns))
    _outbox(site, history, offset_ns)
    for row in site.rows(_STEPS):
        at_ns = monotonic_ns(row["at"], offset_ns=offset_ns)
        ids = Ids(job=row["job_id"], attempt=row["attempt"] or 0)
        history.add(row["worker"] or "database", "ok", op.STATUS, ids, at_ns=at_ns, value=row["step"])
    for row in site.rows(_EFFECTS):
        at_ns = monotonic_ns(row["at"], offset_ns=offset_ns)
        ids = Ids(message=row["message"], queue=row["consumer"])
        history.add("database", "ok", op.EFFECT, ids, at_ns=at_ns, value=row["outcome"])
    for queue, query in subject.tallies.items():
        history.add("database", "info", op.TALLY, Ids(queue=queue), count=site.rows(query)[0]["n"])
    for row in site.rows(subject.results) if subject.results else []:
        at_ns = monotonic_ns(row["at"], offset_ns=offset_ns)
        history.add("database", "ok", op.RESULT, Ids(job=row["job"]), at_ns=at_ns, value=row["says"] or "")


def _outbox(site: Site, history: History, offset_ns: int) -> None:
    query = (
        f"SELECT message_id::text AS message, {site.subject.job} AS job, type, "  # noqa: S608 - constants
        "array_to_string(consumers, ',') AS consumers, created_at, published_at FROM outbox ORDER BY id"
    )
    for row in site.rows(query):
        ids = Ids(job=row["job"] or "", message=row["message"], queue=row["consumers"])
        role = op.END if row["type"] in site.subject.tells else op.REQUEST
        history.add(
            "database", "ok", op.OUTBOX, ids, at_ns=monotonic_ns(row["created_at"], offset_ns=offset_ns), value=role
        )
        if row["published_at"] is not None:
            at_ns = monotonic_ns(row["published_at"], offset_ns=offset_ns)
            history.add("database", "ok", op.MARK, Ids(job=row["job"] or "", message=row["message"]), at_ns=at_ns)


def _ledger(site: Site, history: History) -> None:
    with site.stack.stub as stub:
        calls = stub.ledger(limit=CAPACITY).calls
    for call in calls:
        ids = Ids(job=call.request_id)
        history.add("model", "invoke", op.CALL, ids, at_ns=call.started_ns)
        if call.ended_ns is not None:
            kind, error = ("ok", "") if call.outcome == "ok" else ("fail", str(call.outcome))
            history.add("model", kind, op.CALL, ids, at_ns=call.ended_ns, error=error)  # type: ignore[arg-type]


def _queues(site: Site, history: History) -> None:
    wait_until(lambda: not any(waiting(site).values()), timeout_s=_STALE_S, every_s=0.5)
    for queue, messages in waiting(site).items():
        history.add("broker", "info", op.DEPTH, Ids(queue=queue), count=messages)
    for queue, consumers in site.consumers().items():
        history.add("broker", "info", op.CONSUMERS, Ids(queue=queue), count=consumers)


def waiting(site: Site) -> dict[str, int]:
    """The messages of each work queue and its retry queues, ready or in somebody's hands.

    Dead letters don't count: they wait for an operator, as promised.
    """
    delays = SETTINGS["retry_delays_ms"]
    assert isinstance(delays, tuple)
    names = [*site.subject.queues, *(retry_queue(q, delay) for q in site.subject.queues for delay in delays)]
    ready = {name: found.messages for name, found in depths(site.direct_url, names).items()}
    with site.management() as management:
        held = {queue.name: queue.messages_unacknowledged for queue in management.queues(site.vhost)}
    return {name: messages + held.get(name, 0) for name, messages in ready.items()}


def unfinished(site: Site) -> dict[str, int]:
    """How much is left to do, by what it is; nothing where the trial has drained."""
    subject = site.subject
    missing = (
        "SELECT count(*) AS n FROM outbox o, unnest(o.consumers) AS c(name) WHERE NOT EXISTS "
        "(SELECT FROM inbox i WHERE i.consumer = c.name AND i.message_id = o.message_id)"
    )
    left = {
        "unpublished": site.rows("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")[0]["n"],
        "without effect": site.rows(missing)[0]["n"],
        "waiting": sum(waiting(site).values()),
        "consumers away": site.consumers_missing(),
    }
    if subject.table:
        query = f"SELECT count(*) AS n FROM {subject.table} WHERE status IN ('pending', 'processing')"  # noqa: S608
        left["open jobs"] = site.rows(query)[0]["n"]
    return {what: number for what, number in left.items() if number}

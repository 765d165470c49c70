"""The relay moves committed messages from the outbox to the broker: each at least once, none forgotten.

It claims rows, commits, publishes (mandatory, confirmed), then marks what was confirmed with its claim's token.
Killed between confirm and mark, its claim runs out and the row is published again with the same message_id.
Any number may run at once. It also reconciles (what had no effect for long is published again), and deletes what has
expired: its own rows, and what systems ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from labs import failpoints
from labs.errors import BrokerError, DatabaseUnavailable
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from labs.messaging.supervision import Backoff
from labs.store.hints import Listener, wait_for_hint
from labs.store.outbox import Claimed, Outbox, OutboxMessage
from labs.telemetry import RECONCILED, RELAY_FAILED, RELAYED

log = structlog.get_logger()

#: Seconds after which the relay looks even if nobody rang.
POLL_S = 1.0
#: Settled messages are kept a day for tracing; effects a month, to recognise late duplicates.
RETENTION_S = 24 * 3600.0
_SWEEP_EVERY_S = 600.0
_LAST_BATCH_TIMEOUT_S = 5.0
INBOX_RETENTION_S = 30 * 24 * 3600.0


def _message(row: OutboxMessage) -> Message:
    return Message(
        type=row.type,
        version=row.version,
        body=row.body.encode(),
        message_id=row.message_id,
        occurred_at=row.occurred_at,
        correlation_id=row.correlation_id,
        traceparent=row.traceparent,
    )


class Relay:
    """Publishes the outbox; `run` until cancelled.

    Args:
        outbox: its rows.
        publisher: connects and confirms.
        listener: of `OUTBOX_HINT`.
        batch: rows published at once.
        lease_s: seconds until a silent relay's rows may be taken over.
        reconcile_after_s: seconds without effect after which a message is published again.
        sweeps: delete what has expired; run at the start and every ten minutes, so they must be harmless to repeat.
    """

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        listener: Listener,
        *,
        batch: int,
        lease_s: float,
        reconcile_after_s: float,
        sweeps: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._listener = listener
        self._batch = batch
        self._lease_s = lease_s
        self._reconcile_after_s = reconcile_after_s
        self._sweeps = [self._sweep_outbox, *sweeps]

    async def run(self) -> None:
        """Relay and reconcile until cancelled; outages of broker and database are waited out."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relay())
            tasks.create_task(self._reconcile())
            tasks.create_task(self._sweep())

    async def _relay(self) -> None:
        backoff = Backoff(first_s=0.1, cap_s=2.0)
        with self._listener.subscribe() as hint:
            while True:
                try:
                    await self._publisher.wait_connected()
                    moved = await _finished(self.relay_batch())
                except (BrokerError, DatabaseUnavailable) as error:
                    log.warning("relay waits", reason=str(error))
                    await backoff.wait()
                    continue
                backoff.reset()
                if moved < self._batch:
                    await wait_for_hint(hint, timeout_s=POLL_S)

    async def relay_batch(self) -> int:
        """Publish one batch; returns how many rows were claimed."""
        token, claimed = await self._outbox.claim(limit=self._batch, lease_s=self._lease_s)
        if not claimed:
            return 0
        outcomes = await asyncio.gather(*(self._publish(row) for row in claimed))
        confirmed = [row.id for row, error in zip(claimed, outcomes, strict=True) if error is None]
        failpoints.reach("relay.confirmed")
        if confirmed:
            await self._outbox.mark_published(token, confirmed)
            RELAYED.inc(len(confirmed))
            _tell(row.message for row, error in zip(claimed, outcomes, strict=True) if error is None)
        await self._give_back(token, claimed, outcomes)
        errors = [error for error in outcomes if error is not None]
        if not confirmed and errors:
            raise errors[0]  # nothing gets through: let the loop back off
        return len(claimed)

    async def _publish(self, row: Claimed) -> BrokerError | None:
        try:
            await self._publisher.publish(
                _message(row.message), exchange=row.message.exchange, routing_key=row.message.routing_key
            )
        except BrokerError as error:
            return error
        return None

    async def _give_back(self, token: str, claimed: list[Claimed], outcomes: list[BrokerError | None]) -> None:
        failed = [(row.id, error) for row, error in zip(claimed, outcomes, strict=True) if error is not None]
        if not failed:
            return
        RELAY_FAILED.inc(len(failed))
        reason = str(failed[0][1])
        log.warning("messages not confirmed, publishing them again", count=len(failed), reason=reason)
        await self._outbox.release(token, [row_id for row_id, _ in failed], error=reason, delay_s=1.0)

    async def _sweep(self) -> None:
        while True:
            for sweep in self._sweeps:
                with contextlib.suppress(DatabaseUnavailable):  # the next time is soon enough
                    await sweep()
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def _sweep_outbox(self) -> None:
        await self._outbox.sweep(retention_s=RETENTION_S, inbox_retention_s=INBOX_RETENTION_S)

    async def _reconcile(self) -> None:
        interval_s = max(0.5, min(self._reconcile_after_s / 4, 15.0))
        while True:
            await asyncio.sleep(interval_s)
            with contextlib.suppress(DatabaseUnavailable):
                again = await self._outbox.reconcile(after_s=self._reconcile_after_s)
                if again:
                    RECONCILED.inc(again)
                    log.warning("publishing again what had no effect", count=again)


def _tell(published: Iterable[OutboxMessage]) -> None:
    """Log the events among them; a line for each kind and batch, since the relay is no place to wait for a terminal."""
    events = Counter(message.type for message in published if len(message.consumers) > 1)
    for kind, number in events.items():
        log.info(f"{kind} event published", messages=number)


async def _finished(batch: Coroutine[Any, Any, int]) -> int:
    """A batch, finished even when we are told to end: half of one would lie claimed until its lease runs out."""
    running = asyncio.ensure_future(batch)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running}, timeout=_LAST_BATCH_TIMEOUT_S)
        running.cancel()
        raise

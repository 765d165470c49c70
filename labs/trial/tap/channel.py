"""What happens on one channel, as the two sides say it: publishes and their ends, deliveries and theirs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from pika import spec

from labs.trial import operations as op
from labs.trial.history import History, Ids, Kind

_PERSISTENT = 2


@dataclass(frozen=True)
class _Publish:
    ids: Ids
    key: str


class Channel:
    """Follows one channel and writes down what it sees of persistent messages with an id.

    Calls and replies over the broker are not persistent: nobody promises that they arrive.
    """

    def __init__(self, history: History, process: str) -> None:
        self._history = history
        self._process = process
        #: Of each side, what waits for its content header: the other side may speak in between.
        self._publishing: spec.Basic.Publish | None = None
        self._giving: spec.Basic.Deliver | spec.Basic.GetOk | spec.Basic.Return | None = None
        self._confirms = False
        self._published = 0
        self._unconfirmed: dict[int, _Publish | None] = {}
        self._returned: set[str] = set()
        #: Consumers and single messages that were asked for and not yet answered: the queue, and whether without acks.
        self._asked: deque[tuple[str, bool]] = deque()
        self._got: deque[tuple[str, bool]] = deque()
        self._queues: dict[str, tuple[str, bool]] = {}
        self._unacked: dict[int, Ids | None] = {}
        self._most_unconfirmed = self._most_unacked = 0

    def client_says(self, method: Any) -> None:
        """A method of the program."""
        match method:
            case spec.Basic.Publish():
                self._publishing = method
            case spec.Confirm.Select():
                self._confirms = True
            case spec.Basic.Consume():
                self._asked.append((method.queue, bool(method.no_ack)))
            case spec.Basic.Get():
                self._got.append((method.queue, bool(method.no_ack)))
            case spec.Basic.Ack():
                self._settled(method.delivery_tag, "ack", multiple=bool(method.multiple))
            case spec.Basic.Nack():
                self._settled(method.delivery_tag, "nack", multiple=bool(method.multiple))
            case spec.Basic.Reject():
                self._settled(method.delivery_tag, "reject", multiple=False)

    def broker_says(self, method: Any) -> None:
        """A method of the broker."""
        match method:
            case spec.Basic.Deliver() | spec.Basic.Return() | spec.Basic.GetOk():
                self._giving = method
            case spec.Basic.GetEmpty() if self._got:
                self._got.popleft()
            case spec.Basic.ConsumeOk() if self._asked:
                self._queues[method.consumer_tag] = self._asked.popleft()
            case spec.Basic.Ack():
                self._confirmed(method.delivery_tag, multiple=bool(method.multiple), nacked=False)
            case spec.Basic.Nack():
                self._confirmed(method.delivery_tag, multiple=bool(method.multiple), nacked=True)

    def client_header(self, properties: spec.BasicProperties) -> None:
        """The content header of the program's last publish."""
        method, self._publishing = self._publishing, None
        if method is not None:
            self._publish(_ids(properties), method.routing_key)

    def broker_header(self, properties: spec.BasicProperties) -> None:
        """The content header of the broker's last return or delivery."""
        method, self._giving = self._giving, None
        ids = _ids(properties)
        if isinstance(method, spec.Basic.Deliver):
            self._deliver(ids, method, *self._queues.get(method.consumer_tag, ("", False)))
        elif isinstance(method, spec.Basic.GetOk):
            self._deliver(ids, method, *(self._got.popleft() if self._got else ("", False)))
        elif method is not None and ids:
            self._returned.add(ids.message)

    def lost(self, reason: str) -> None:
        """The channel is gone, and with it what would have ended its publishes."""
        for publish in self._unconfirmed.values():
            self._end(publish, "info", reason)
        self._unconfirmed.clear()
        self._unacked.clear()
        for operation, most in ((op.UNCONFIRMED, self._most_unconfirmed), (op.UNACKNOWLEDGED, self._most_unacked)):
            if most:
                self._history.add(self._process, "info", operation, count=most)

    def _publish(self, ids: Ids | None, key: str) -> None:
        if ids:
            self._history.add(self._process, "invoke", op.PUBLISH, ids, value=key)
        if self._confirms:
            self._published += 1
            self._unconfirmed[self._published] = _Publish(ids, key) if ids else None
            if ids:
                self._most_unconfirmed = max(self._most_unconfirmed, len(self._unconfirmed))

    def _confirmed(self, tag: int, *, multiple: bool, nacked: bool) -> None:
        for publish in _taken(self._unconfirmed, tag, multiple=multiple):
            if nacked:
                self._end(publish, "fail", "nacked")
            elif publish and publish.ids.message in self._returned:
                self._returned.discard(publish.ids.message)
                self._end(publish, "fail", "returned")
            else:
                self._end(publish, "ok", "")

    def _end(self, publish: _Publish | None, kind: Kind, error: str) -> None:
        if publish:
            self._history.add(self._process, kind, op.PUBLISH, publish.ids, value=publish.key, error=error)

    def _deliver(
        self, ids: Ids | None, method: spec.Basic.Deliver | spec.Basic.GetOk, queue: str, no_ack: bool
    ) -> None:
        about = Ids(message=ids.message, queue=queue, attempt=ids.attempt) if ids else None
        if about:
            again = op.REDELIVERED if method.redelivered else ""
            self._history.add(self._process, "ok", op.DELIVER, about, value=again)
        if no_ack:
            self._end_delivery(about, op.ACK)
            return
        self._unacked[method.delivery_tag] = about
        if about:
            self._most_unacked = max(self._most_unacked, len(self._unacked))

    def _settled(self, tag: int, how: str, *, multiple: bool) -> None:
        for ids in _taken(self._unacked, tag, multiple=multiple):
            self._end_delivery(ids, how)

    def _end_delivery(self, ids: Ids | None, how: str) -> None:
        if ids:
            self._history.add(self._process, "ok", op.SETTLE, ids, value=how)


def _ids(properties: spec.BasicProperties) -> Ids | None:
    """Of a persistent message; None of any other."""
    if properties.delivery_mode != _PERSISTENT or not properties.message_id:
        return None
    attempt = (properties.headers or {}).get("attempt", 1)
    return Ids(message=properties.message_id, attempt=attempt if isinstance(attempt, int) else 1)


def _taken(waiting: dict[int, Any], tag: int, *, multiple: bool) -> list[Any]:
    """What a tag speaks of, taken out: one, or all up to it; 0 with `multiple` is all."""
    tags = [one for one in waiting if one <= tag or tag == 0] if multiple else [tag]
    return [waiting.pop(one) for one in tags if one in waiting]

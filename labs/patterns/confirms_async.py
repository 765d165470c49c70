"""Publisher confirms that come later: each message is known by its delivery tag until an answer names it.

Guaranteed, and not: as in `labs.patterns.confirms`, for each message. Answers may come in another order, and one may
speak for many. When channel or connection break, every message without an answer ends as `UNKNOWN`: it may be in the
queue or not. Without a bound on the messages under way they pile up here: see `labs.patterns.confirms_pipelined`.
"""

from __future__ import annotations

import asyncio

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.connection import Connection
from pika.frame import Method
from pika.spec import Basic

from labs.patterns.address import broker_url
from labs.patterns.confirms import CONFIRMED, NACKED, RETURNED

UNKNOWN = "unknown"


async def connect(url: str) -> Channel:
    """A channel on the running event loop."""
    opened: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

    def open_channel(connection: Connection) -> None:
        connection.channel(on_open_callback=opened.set_result)

    def fail(_: Connection, error: BaseException) -> None:
        opened.set_exception(error)

    AsyncioConnection(pika.URLParameters(url), on_open_callback=open_channel, on_open_error_callback=fail)
    return await opened


class ConfirmedPublisher:
    """Publishes without waiting; every message has a future that ends with the broker's answer."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._last_tag = 0
        self._under_way: dict[int, tuple[str, asyncio.Future[str]]] = {}
        self._returned: set[str | None] = set()
        channel.add_on_return_callback(lambda _, __, properties, ___: self._returned.add(properties.message_id))
        channel.add_on_close_callback(lambda *_: self._settle(list(self._under_way), UNKNOWN))
        channel.confirm_delivery(self._on_answer)

    def publish(self, exchange: str, routing_key: str, body: bytes, *, message_id: str) -> asyncio.Future[str]:
        """Hand one persistent message over. The answer: `CONFIRMED`, `RETURNED`, `NACKED` or `UNKNOWN`."""
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, message_id=message_id)
        self.channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
        self._last_tag += 1  # the broker counts as we do: on this channel, from 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._under_way[self._last_tag] = message_id, answer
        return answer

    def _on_answer(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        tag = frame.method.delivery_tag
        tags = [known for known in self._under_way if known <= tag] if frame.method.multiple else [tag]
        self._settle(tags, CONFIRMED if isinstance(frame.method, Basic.Ack) else NACKED)

    def _settle(self, tags: list[int], answer: str) -> None:
        for tag in tags:
            message_id, future = self._under_way.pop(tag)
            future.set_result(RETURNED if message_id in self._returned else answer)  # a return precedes its answer
            self._returned.discard(message_id)


async def main() -> None:
    """Hand five messages over at once, one of them to nowhere; then read the answers."""
    queue = "pattern.confirms_async"
    publisher = ConfirmedPublisher(await connect(broker_url()))
    publisher.channel.queue_declare(queue, durable=True)
    keys = {"1": queue, "2": queue, "3": "nowhere", "4": queue, "5": queue}
    answers = {name: publisher.publish("", key, b"hello", message_id=name) for name, key in keys.items()}
    print(f"handed over: {len(answers)} messages, answered so far: {sum(a.done() for a in answers.values())}")
    for name, answer in answers.items():
        print(f"message {name} to {keys[name]}: {await answer}")
    publisher.channel.queue_delete(queue)
    publisher.channel.connection.close()


if __name__ == "__main__":
    asyncio.run(main())

"""Fast and confirmed: publish in batches, or keep a window of messages under way, and bound what may be unanswered.

Guaranteed: at most `size` or `window` messages are unanswered at any moment, so that is the most a crash leaves in
doubt. Every message gets an answer, in the order of publishing; which ones, see `labs.patterns.confirms`. Nothing is
published twice: what isn't `CONFIRMED` is for the caller to publish again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from labs.patterns.address import broker_url
from labs.patterns.confirms import CONFIRMED
from labs.patterns.confirms_async import ConfirmedPublisher, connect


async def publish_in_batches(
    publisher: ConfirmedPublisher, queue: str, messages: Mapping[str, bytes], *, size: int
) -> list[str]:
    """Hand a batch over, wait for all its answers, then the next batch.

    Args:
        messages: the bodies by message id.
    """
    items, answers = list(messages.items()), []
    for start in range(0, len(items), size):
        batch = [publisher.publish("", queue, body, message_id=name) for name, body in items[start : start + size]]
        answers += await asyncio.gather(*batch)
    return answers


async def publish_in_a_window(
    publisher: ConfirmedPublisher, queue: str, messages: Mapping[str, bytes], *, window: int
) -> list[str]:
    """Hand the next message over whenever fewer than `window` are unanswered: nobody waits for a whole batch.

    Args:
        messages: the bodies by message id.
    """
    room, answers = asyncio.Semaphore(window), []
    for name, body in messages.items():
        await room.acquire()
        answers.append(publisher.publish("", queue, body, message_id=name))
        answers[-1].add_done_callback(lambda _: room.release())
    return await asyncio.gather(*answers)


async def main() -> None:
    """The same thousand messages one by one, in batches and in a window."""
    queue = "pattern.confirms_pipelined"
    publisher = ConfirmedPublisher(await connect(broker_url()))
    publisher.channel.queue_declare(queue, durable=True)
    messages = {str(number): b"hello" for number in range(1000)}
    for name, work in {
        "one by one": publish_in_batches(publisher, queue, messages, size=1),
        "in batches of 100": publish_in_batches(publisher, queue, messages, size=100),
        "in a window of 100": publish_in_a_window(publisher, queue, messages, window=100),
    }.items():
        started = time.perf_counter()
        answers = await work
        rate = len(answers) / (time.perf_counter() - started)
        print(f"{name}: {answers.count(CONFIRMED)} confirmed, {rate:.0f} messages a second")
    publisher.channel.queue_delete(queue)
    publisher.channel.connection.close()


if __name__ == "__main__":
    asyncio.run(main())

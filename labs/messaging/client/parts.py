"""The consumers and servers of one client: started and awaited, watched, and ended in good order."""

from __future__ import annotations

import asyncio

import structlog

from labs.errors import BrokerUnavailable
from labs.messaging.client.pool import Connections
from labs.messaging.consumer import Consumer
from labs.messaging.rpc import RpcServer
from labs.messaging.settlement import where

log = structlog.get_logger()

_LOOK_EVERY_S = 0.01


class Parts:
    """What a client runs in the background."""

    def __init__(self) -> None:
        self._running: dict[Consumer | RpcServer, asyncio.Task[None]] = {}

    @property
    def connected(self) -> bool:
        """Whether all that was started is connected."""
        return all(part.connected for part in self._running)

    async def start(self, part: Consumer | RpcServer, connections: Connections, *, timeout_s: float) -> None:
        """Run a part until `stop`; returns when it is connected.

        Raises:
            BrokerUnavailable: its connection did not come up in time; it is ended again.
        """
        task = self._running[part] = asyncio.create_task(part.run())
        connections.tasks.add(task)
        task.add_done_callback(connections.tasks.discard)
        task.add_done_callback(_say_if_broken)
        try:
            async with asyncio.timeout(timeout_s):
                while not part.connected:  # noqa: ASYNC110 - happens once, at a start
                    await asyncio.sleep(_LOOK_EVERY_S)
        except BaseException as error:
            del self._running[part]
            task.cancel()
            if isinstance(error, TimeoutError):
                raise BrokerUnavailable("a consumer's connection did not come up in time") from None
            raise

    async def stop(self, *, grace_s: float) -> None:
        """Finish what is in hand within `grace_s` seconds, give the rest back."""
        running, self._running = self._running, {}
        try:
            await asyncio.gather(*(part.stop(grace_s=grace_s) for part in running))
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)


def _say_if_broken(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("a consumer broke: start it again", **where(error))

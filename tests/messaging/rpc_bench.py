"""Servers, callers and strangers for the tests of remote calls, on a queue of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pika.spec import BasicProperties

from labs.errors import BrokerError
from labs.messaging.rpc import Handler, RpcClient, RpcServer
from labs.messaging.rpc.wire import request_queue
from labs.messaging.topology import declare
from labs.programs import report
from tests.waiting import eventually
from tests.workbench import Workbench


def queue_of(bench: Workbench) -> str:
    return f"{bench.queue}.rpc"


async def echo(request: dict[str, Any]) -> Mapping[str, Any]:
    return request


class Gate:
    """A handler that answers when it is opened."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.most_at_once = 0
        self.open = asyncio.Event()
        self._inside = 0

    async def __call__(self, request: dict[str, Any]) -> Mapping[str, Any]:
        self.seen.append(request)
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            await self.open.wait()
        finally:
            self._inside -= 1
        return request


def client_of(bench: Workbench, *, url: str | None = None, timeout_s: float = 20.0) -> RpcClient:
    return RpcClient(url or bench.url, name=f"{bench.queue} client", timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def serving(
    bench: Workbench, handler: Handler, *, url: str | None = None, name: str = "server", **options: Any
) -> AsyncIterator[RpcServer]:
    """A server that runs for the length of a block."""
    server = RpcServer(url or bench.url, queue_of(bench), handler, name=f"{bench.queue} {name}", **options)
    task = asyncio.create_task(server.run())
    try:
        await eventually(lambda: server.connected)
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def declared(bench: Workbench) -> str:
    """The queue, with nobody who serves it."""
    async with bench.channel() as channel:
        await declare(channel, request_queue(queue_of(bench)))
    return queue_of(bench)


async def is_empty(bench: Workbench) -> bool:
    try:
        return await bench.depth(queue_of(bench)) == 0
    except BrokerError:  # it may not be there yet
        return False


@contextlib.asynccontextmanager
async def stranger(bench: Workbench, *answers: tuple[bytes, BasicProperties]) -> AsyncIterator[None]:
    """A server that isn't ours: sends all those answers to each request, with its correlation id if they have none."""
    queue = await declared(bench)

    def answer(channel: Any, _: Any, properties: BasicProperties, __: bytes) -> None:
        for body, given in answers:
            given.correlation_id = given.correlation_id or properties.correlation_id
            channel.basic_publish("", properties.reply_to, body, given)

    async with bench.channel() as channel:
        await channel.consume(queue, answer, auto_ack=True)
        yield


async def send_raw(bench: Workbench, body: bytes, properties: BasicProperties) -> None:
    """A request as anybody could write it."""
    async with bench.publisher() as publisher:
        await publisher.publish_raw(body, properties, exchange="", routing_key=queue_of(bench))


@contextlib.asynccontextmanager
async def answers_to(bench: Workbench) -> AsyncIterator[tuple[str, list[tuple[BasicProperties, dict[str, Any]]]]]:
    """A reply queue, and what has arrived in it so far."""
    arrived: list[tuple[BasicProperties, dict[str, Any]]] = []
    reply_queue = f"{bench.queue}.replies"
    async with bench.channel() as channel:
        await channel.declare_queue(reply_queue)
        await channel.consume(
            reply_queue,
            lambda _, __, properties, body: arrived.append((properties, json.loads(body))),
            auto_ack=True,
        )
        yield reply_queue, arrived


def server_process(url: str, queue: str, name: str, *, answers: bool) -> None:
    """A server in a process of its own; without `answers` it takes requests and never finishes one."""

    async def handle(request: dict[str, Any]) -> Mapping[str, Any]:
        report("asked", request=request)
        if not answers:
            await asyncio.Event().wait()
        return {**request, "pid": os.getpid()}

    async def serve() -> None:
        server = RpcServer(url, queue, handle, name=name)
        running = asyncio.create_task(server.run())
        await eventually(lambda: server.connected)
        report("serving")
        await running

    asyncio.run(serve())

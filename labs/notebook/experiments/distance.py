"""A broker farther away: a proxy that holds back every byte for a while, both ways, and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from labs.programs import report


def keep_distance(*, url: str, one_way_ms: float) -> None:
    """Listen on a free port of this machine, and pass on to the broker at `url`; reports `listening` with its port."""
    asyncio.run(_listen(url, one_way_ms / 1000))


def through(url: str, port: int) -> str:
    """The AMQP URL that goes through the proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()


async def _listen(url: str, delay_s: float) -> None:
    broker = urlsplit(url)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_broker = await asyncio.open_connection(broker.hostname, broker.port or 5672)
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass_on(reader, to_broker[1], delay_s), _pass_on(to_broker[0], writer, delay_s))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    report("listening", port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    now = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due_s, data = await under_way.get()
            await asyncio.sleep(due_s - now())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    arriving = asyncio.create_task(arrive())
    while data := await reader.read(65536):
        under_way.put_nowait((now() + delay_s, data))
    under_way.put_nowait((now() + delay_s, b""))
    await arriving

"""One connection of a program, followed in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pika import spec

from labs.trial import operations as op
from labs.trial.history import History
from labs.trial.tap.channel import Channel
from labs.trial.tap.frames import Frame, Frames
from labs.trial.tap.weather import Way, Weather

_CHUNK = 64 * 1024

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """One connection of a program; `weather` tells what befalls the next frame."""

    def __init__(self, history: History, weather: Callable[[], Weather]) -> None:
        self._history = history
        self._weather = weather
        self._process = "unnamed"
        self._channels: dict[int, Channel] = {}

    async def run(self, program: Ends, broker: Ends) -> None:
        """Pass everything on until a side closes; then close the other."""
        writers = (program[1], broker[1])
        to_broker = Way(broker[1], writers, lambda seen: self._see(seen, from_broker=False), from_broker=False)
        to_program = Way(program[1], writers, lambda seen: self._see(seen, from_broker=True), from_broker=True)
        both = [
            asyncio.ensure_future(self._pass_on(program[0], to_broker)),
            asyncio.ensure_future(self._pass_on(broker[0], to_program)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)  # a reset is an end like any other
            for channel in self._channels.values():
                channel.lost("connection lost")
            # What was passed on last may still lie here: a program shall read why its connection was closed.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await program[1].drain()
                    program[1].close()
                    await program[1].wait_closed()
            broker[1].transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, way: Way) -> None:
        frames = Frames()
        while data := await _read(source):
            for frame in frames.feed(data):
                way.heard(frame)
                await self._weather().carry(frame, way)
            await way.flush()
        await self._weather().end(way)
        way.slip_in(frames.rest)
        await way.flush()

    def _see(self, frame: Frame, *, from_broker: bool) -> None:
        number, method = frame.channel, frame.method
        if frame.properties is not None:
            channel = self._channel(number)
            (channel.broker_header if from_broker else channel.client_header)(frame.properties)
        elif isinstance(method, spec.Connection.StartOk):
            self._process = str((method.client_properties or {}).get("connection_name", "unnamed"))
            self._history.add(self._process, "ok", op.CONNECT)
        elif isinstance(method, spec.Channel.CloseOk | spec.Channel.Close):
            if number in self._channels:
                self._channels.pop(number).lost("channel closed")
        elif method is not None and number:
            channel = self._channel(number)
            (channel.broker_says if from_broker else channel.client_says)(method)

    def _channel(self, number: int) -> Channel:
        if number not in self._channels:
            self._channels[number] = Channel(self._history, self._process)
        return self._channels[number]


async def _read(source: asyncio.StreamReader) -> bytes:
    """What has come; nothing at the end, be it a good one or a reset."""
    try:
        return await source.read(_CHUNK)
    except OSError:
        return b""

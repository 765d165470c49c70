"""A real mail server on loopback that keeps what it gets, and refuses when told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class SmtpSink:
    """Answers with `replies[verb]` as long as there are any, else with a yes."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    replies: dict[str, list[str]] = field(default_factory=dict)
    sessions: int = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1

        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await say("220 sink")
            while line := (await reader.readline()).decode().strip():
                verb = line.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0].upper()
                scripted = self.replies.get(verb)
                if scripted:
                    await say(scripted.pop(0))
                elif verb == "EHLO":
                    await say("250-sink")
                    await say("250 AUTH PLAIN LOGIN")
                elif verb == "AUTH":
                    await say("235 welcome")
                elif verb == "DATA":
                    await say("354 go on")
                    self._keep(await reader.readuntil(b"\r\n.\r\n"))
                    await say("250 kept")
                else:
                    await say("221 bye" if verb == "QUIT" else "250 ok")
        writer.close()

    def _keep(self, data: bytes) -> None:
        self.mails.append(message_from_bytes(data[:-3], policy=policy.default))


@contextlib.asynccontextmanager
async def smtp_sink(*, port: int = 0) -> AsyncIterator[SmtpSink]:
    """A mail server for the length of a block."""
    sink = SmtpSink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", port)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()

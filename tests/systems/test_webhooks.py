"""Where webhooks may go: nowhere but where the operator says, by name and by address, at request time and later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from fastapi.exceptions import RequestValidationError

from labs.errors import PermanentError, TransientError
from labs.settings import load_settings
from labs.systems.webhooks import Webhooks, signature

SECRET = "s" * 32


def webhooks(*hosts: str, secret: str | None = SECRET, **settings: object) -> Webhooks:
    return Webhooks(load_settings(webhook_hosts=hosts, webhook_secret=secret, **settings))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/path?x=1",
        "https://HOOKS.example.org:8443/",
        "http://127.0.0.1:9/x",
        "https://10.1.2.3/",
        "http://[::1]:9/",
    ],
)
def test_what_is_listed_may_be_asked_for(url: str) -> None:
    webhooks("hooks.example.org", "127.0.0.1", "10.0.0.0/8", "::1").check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "https://hooks.example.org.evil.example/",
        "https://evil.example/#hooks.example.org",
        "https://hooks.example.org@evil.example/",
        "https://user:password@hooks.example.org/",
        "http://127.0.0.2/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:127.0.0.1]/",
        "ftp://hooks.example.org/",
        "//hooks.example.org/",
        "hooks.example.org",
        "https://",
        "https://[",
        "https://hooks.example.org\x00/",
        "",
    ],
)
def test_what_is_not_listed_is_refused(url: str) -> None:
    with pytest.raises(RequestValidationError):
        webhooks("hooks.example.org", "127.0.0.1").check(url)


@pytest.mark.parametrize("made", [webhooks(), webhooks("127.0.0.1", secret=None)])
async def test_without_a_list_or_a_secret_there_are_none(made: Webhooks) -> None:
    with pytest.raises(RequestValidationError, match="LAB_WEBHOOK_HOSTS"):
        made.check("http://127.0.0.1:9/")
    with pytest.raises(PermanentError):
        await made.send("http://127.0.0.1:9/", message_id="m", body=b"{}")


async def test_a_name_with_a_private_address_is_refused_unless_that_is_listed_too() -> None:
    async with receiver() as there:
        url = f"http://localhost:{there.port}/"
        with pytest.raises(PermanentError, match="address"):
            await webhooks("localhost").send(url, message_id="m", body=b"{}")
        assert there.requests == []
        await webhooks("localhost", "127.0.0.0/8", "::1").send(url, message_id="m", body=b"{}")
        assert len(there.requests) == 1


async def test_it_is_called_by_its_name_and_signed() -> None:
    async with receiver() as there:
        await webhooks("localhost", "127.0.0.0/8", "::1").send(
            f"http://localhost:{there.port}/a", message_id="m1", body=b'{"a": 1}'
        )
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert lines[0] == "POST /a HTTP/1.1"
    assert fields["host"] == f"localhost:{there.port}"
    assert fields["x-webhook-id"] == "m1"
    assert fields["x-webhook-signature"] == f"sha256={signature(SECRET.encode(), fields['x-webhook-timestamp'], body)}"


@pytest.mark.parametrize(
    ("answer", "error"),
    [(500, TransientError), (503, TransientError), (429, TransientError), (408, TransientError),
     (400, PermanentError), (404, PermanentError), (301, PermanentError)],
)  # fmt: skip
async def test_an_answer_says_whether_to_try_again(answer: int, error: type[Exception]) -> None:
    async with receiver(f"HTTP/1.1 {answer} x\r\nContent-Length: 0\r\nLocation: /\r\n\r\n".encode()) as there:
        with pytest.raises(error, match=str(answer)):
            await webhooks("127.0.0.1").send(f"http://127.0.0.1:{there.port}/", message_id="m", body=b"{}")
    assert len(there.requests) == 1


async def test_a_silent_receiver_is_not_waited_for() -> None:
    async with receiver(b"") as there:
        with pytest.raises(TransientError, match="did not answer"):
            await webhooks("127.0.0.1", webhook_timeout_s=0.2).send(
                f"http://127.0.0.1:{there.port}/", message_id="m", body=b"{}"
            )


async def test_an_endless_answer_is_not_read() -> None:
    head = b"HTTP/1.1 200 x\r\nContent-Length: 1000000000\r\n\r\n"
    async with receiver(head) as there:
        await webhooks("127.0.0.1", webhook_timeout_s=5).send(
            f"http://127.0.0.1:{there.port}/", message_id="m", body=b"{}"
        )


@dataclass
class Receiver:
    """What a server on loopback has received, raw."""

    port: int
    requests: list[bytes]


@contextlib.asynccontextmanager
async def receiver(answer: bytes = b"HTTP/1.1 204 x\r\n\r\n") -> AsyncIterator[Receiver]:
    """A server for the length of a block; with an empty answer it says nothing."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            requests.append(head + await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Receiver(server.sockets[0].getsockname()[1], requests)
    finally:
        server.close()

"""The stub model: a server that speaks Chat Completions, writes real letters and fails on command.

It keeps a ledger of every call (`/ledger`) and has dials that can be turned while it runs (`/dials`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import signal
import sys
from collections.abc import Callable

from pydantic import ValidationError

from labs.errors import ConfigurationError
from labs.llm.control_api import ControlApi
from labs.llm.dials import Dials
from labs.llm.http_server import Connection, Reply, Request
from labs.llm.ledger import Ledger
from labs.llm.model import Model
from labs.settings import Settings, load_settings

#: Connections that may wait to be accepted: a whole fleet of workers may reconnect at once.
_BACKLOG = 4096


class StubServer:
    """The routes of the stub model and its open connections."""

    def __init__(self, dials: Dials) -> None:
        self._connections: set[Connection] = set()
        ledger = Ledger()
        model = Model(dials, ledger=ledger)
        self._control = ControlApi(model, ledger=ledger, initial=dials)
        self._model = model

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answer one request."""
        if request.path == "/v1/chat/completions" and request.method == "POST":
            await self._model.complete(request, reply)
        else:
            status, body = self._control.answer(request)
            reply.send(status, body)

    async def serve(self, *, host: str, port: int, until: asyncio.Event, announce: Callable[[str, int], None]) -> None:
        """Listen until the event is set, then drop every connection.

        Raises:
            ConfigurationError: the address can't be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: Connection(self.handle, connections=self._connections), host, port, backlog=_BACKLOG
            )
        except OSError as error:
            raise _cannot_listen(error, host=host, port=port) from error
        announce(host, server.sockets[0].getsockname()[1])
        await until.wait()
        server.close()
        for connection in list(self._connections):
            connection.abort()


def run_stub(settings: Settings, *, dials: Dials | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line on standard output is JSON with the address.

    Calls that are open at the end are dropped: their clients see a broken connection.

    Args:
        settings: `stub_host`, `stub_port` (0: any free one) and, unless dials are given, `stub_dials`.
        dials: What to start with, and what `DELETE /dials` goes back to.

    Raises:
        ConfigurationError: the address can't be listened on, or `stub_dials` are not valid.
    """
    server = StubServer(dials or read_dials(settings.stub_dials))
    with asyncio.Runner(loop_factory=_event_loop) as runner, contextlib.suppress(asyncio.CancelledError):
        runner.run(_serve_until_signalled(server, host=settings.stub_host, port=settings.stub_port))


def read_dials(text: str) -> Dials:
    """Dials from JSON; an empty text gives the defaults.

    Raises:
        ConfigurationError: the text is not JSON, or no dials.
    """
    try:
        return Dials.model_validate_json(text or "{}")
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'dials'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"LAB_STUB_DIALS are not valid: {problems}") from None


async def _serve_until_signalled(server: StubServer, *, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.serve(host=host, port=port, until=stop, announce=_announce)


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - it has no Windows build; asyncio's own loop serves as well, only slower
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _announce(host: str, port: int) -> None:
    address = f"[{host}]" if ":" in host else host
    print(json.dumps({"event": "stub model listens", "url": f"http://{address}:{port}", "port": port}), flush=True)


def _cannot_listen(error: OSError, *, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"port {port} on {host} is taken: stop what listens there (perhaps another stub), "
            "or set LAB_STUB_PORT to a free port"
        )
    return ConfigurationError(
        f"the stub model can't listen on {host}:{port} ({error.strerror or error}): set LAB_STUB_HOST and LAB_STUB_PORT"
    )


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m labs.llm.stub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free port")
    parser.add_argument("--dials", default="", help="initial dials as JSON")
    options = parser.parse_args()
    try:
        dials = read_dials(options.dials)
        run_stub(load_settings(stub_host=options.host, stub_port=options.port), dials=dials)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main())

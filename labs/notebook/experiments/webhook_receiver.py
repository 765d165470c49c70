"""Chapter 14: somebody else's server, to which webhooks go; it keeps what it gets, and may fail at first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from labs.notebook.letters import until


@dataclass(frozen=True)
class Webhook:
    """One request, as it came; header names in lower case."""

    headers: dict[str, str]
    body: bytes

    def with_body(self, body: bytes) -> Webhook:
        """The same with another body, as a forger would send it."""
        return replace(self, body=body)


class Receiver:
    """Listens on loopback until it is closed.

    Args:
        answers: the statuses of its first answers; then 204.
    """

    def __init__(self, *, answers: Sequence[int] = ()) -> None:
        self.received: list[Webhook] = []
        self._answers = list(answers)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/resumes"

    def answer(self, webhook: Webhook) -> int:
        """Keep a request; returns the status to answer with."""
        self.received.append(webhook)
        return self._answers.pop(0) if self._answers else 204

    async def gets(self, count: int) -> list[Webhook]:
        """Wait for so many requests.

        Raises:
            NoAnswer: they did not come in time.
        """

        async def look() -> list[Webhook] | None:
            return list(self.received) if len(self.received) >= count else None

        return await until(look, what=f"{count} webhooks")

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.answer(Webhook(headers, body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler

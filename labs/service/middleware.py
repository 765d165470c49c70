"""Around every request: its duration by route and status, and headers that keep browsers from guessing."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labs.telemetry import HTTP_SECONDS

_UNKNOWN_ROUTE = "none"


class Watch:
    """Plain ASGI: the usual base class costs more than the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The route's template, not the path: ids in labels would grow without bound.
            route = getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
            HTTP_SECONDS.labels(scope["method"], route, str(status)).observe(time.perf_counter() - started)

"""Around every request: its duration by route and status, safe headers, and an answer even to a bug of ours."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labs.service.problems import unexpected
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
        status = 0

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
        except Exception as error:
            response = unexpected(error, route=_route(scope))
            if status:
                raise  # an answer that has begun can't be taken back: the server breaks the connection off
            # Answered here and not further out, where the server would break off a connection that is still good.
            await response(scope, receive, watched)
        finally:
            duration_s = time.perf_counter() - started
            HTTP_SECONDS.labels(scope["method"], _route(scope), str(status or "none")).observe(duration_s)


def _route(scope: Scope) -> str:
    """The route's template, not the path: ids in labels would grow without bound."""
    return getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)

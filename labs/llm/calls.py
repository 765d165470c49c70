"""Calls through the openai package, whose retries are off: the one place that loads it, which takes half a second.

Errors are the lab's: see `failures`. Deadlines are the caller's: cancel a call that takes too long.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

import httpx2
import openai

from labs.llm.failures import model_error
from labs.llm.transport import LeasingTransport
from labs.settings import LOOPBACK
from labs.tls import tls_for

#: Seconds to get a connection; an address that answers at all does so at once.
_CONNECT_TIMEOUT_S = 10.0
_PATH = "/chat/completions"


class Calls:
    """Connections to one address; close them. `timeout_s` bounds half as long a connect, and nothing else."""

    def __init__(self, *, base_url: str, api_key: str, timeout_s: float) -> None:
        address = urlsplit(base_url)
        tls = tls_for(base_url)
        http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=min(_CONNECT_TIMEOUT_S, timeout_s / 2)),
            verify=tls,
            mounts={"all://": LeasingTransport(tls=tls)},  # a mount: proxies named by the environment go before it
            trust_env=address.hostname not in LOOPBACK,
        )
        # An address without the user and password it may hold: errors end up in logs and dead letters.
        self._shown = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        self._openai = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http)

    async def post(self, body: Mapping[str, object], *, request_id: str) -> bytes:
        """The answer's body.

        Raises:
            ModelError: there is none.
        """
        try:
            response = await self._openai.post(
                _PATH, cast_to=httpx2.Response, body=body, options={"headers": {"X-Request-Id": request_id}}
            )
        except openai.OpenAIError as error:
            raise model_error(error, address=self._shown) from None
        return response.content

    async def stream(self, body: Mapping[str, object], *, request_id: str) -> AsyncGenerator[object]:
        """The answer's events, as they come.

        Raises:
            ModelError: there is none, or it broke off.
            ValueError: an event is no JSON.
        """
        try:
            stream = await self._openai.post(
                _PATH,
                cast_to=object,
                body={**body, "stream": True},
                options={"headers": {"X-Request-Id": request_id}},
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
            async with stream:
                async for event in stream:
                    yield event
        except openai.OpenAIError as error:
            raise model_error(error, address=self._shown) from None

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        await self._openai.close()

"""Which certificates an HTTP client trusts: for https the system's, loaded once; for plain http none are needed.

An `httpx.Client` left to itself loads them whenever one is made, a tenth of a second each time.
"""

from __future__ import annotations

import functools
import ssl

import httpx


def tls_for(url: str) -> ssl.SSLContext:
    """What a client of this address gets as `verify`. Without https it trusts nobody: a redirect to https fails."""
    return _contexts(verifies=url.partition(":")[0].lower() == "https")


@functools.cache
def _contexts(*, verifies: bool) -> ssl.SSLContext:
    return httpx.create_ssl_context() if verifies else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

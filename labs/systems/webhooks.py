"""Webhooks: signed, and only to where the operator allows it, so that nobody makes us call our own network.

A receiver checks `X-Webhook-Signature: sha256=HEX`, the HMAC-SHA256 of `TIMESTAMP.BODY` under the shared secret,
with the timestamp of `X-Webhook-Timestamp`, and knows a repetition by `X-Webhook-Id`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import time

import httpx

from labs.errors import PermanentError, TransientError
from labs.messaging.delivery import Delivery
from labs.settings import Settings
from labs.store.database import Db
from labs.store.statements import JobTable
from labs.systems.once import Effect
from labs.systems.problem import refused
from labs.tls import tls_for

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Answers after which another attempt may succeed, besides the receiver's own failures.
_PASSING = {408, 425, 429}


class Webhooks:
    """Checks addresses when they are given, and again when they are called."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.webhook_secret.get_secret_value().encode() if settings.webhook_secret else None
        self._timeout_s = settings.webhook_timeout_s
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for host in settings.webhook_hosts:
            try:
                self._networks.append(ipaddress.ip_network(host, strict=False))
            except ValueError:
                self._names.add(host)

    def check(self, url: str) -> None:
        """Refuse an address that no webhook may go to.

        Raises:
            RequestValidationError: which is answered with 422.
        """
        problem = self._problem(url)
        if problem is not None:
            raise refused("body", "webhookUrl", problem)

    def _problem(self, url: str) -> str | None:
        if self._secret is None or not (self._names or self._networks):
            return "no webhooks are sent: LAB_WEBHOOK_HOSTS and LAB_WEBHOOK_SECRET are not set"
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError):
            return "is not a URL"
        if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo:
            return "is not https://host/path without a user"
        address = _literal(parsed.host)
        if not (self._listed(address) if address else parsed.host.lower() in self._names):
            return "its host is not in LAB_WEBHOOK_HOSTS"
        return None

    def _listed(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    async def send(self, url: str, *, message_id: str, body: bytes) -> None:
        """Call a receiver once.

        Raises:
            TransientError: no answer in time, or one that may pass.
            PermanentError: the address is refused, or the receiver refuses.
        """
        if self._secret is None or self._problem(url) is not None:
            raise PermanentError("webhook_refused: its address is not allowed")
        parsed = httpx.URL(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                address = await self._resolved(parsed)
                status = await self._post(parsed, address, message_id=message_id, body=body, secret=self._secret)
        except (httpx.TransportError, TimeoutError, OSError) as error:
            raise TransientError(f"the webhook's receiver did not answer: {type(error).__name__}") from error
        if status >= 500 or status in _PASSING:
            raise TransientError(f"the webhook's receiver answered {status}")
        if not 200 <= status < 300:
            raise PermanentError(f"webhook_refused: the receiver answered {status}")

    async def _resolved(self, url: httpx.URL) -> _Address:
        """The address to connect to; every one that the name has must be allowed."""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not (self._listed(address) or (_is_public(address) and url.scheme == "https")):
                raise PermanentError("webhook_refused: its name has an address that is not allowed")
        return addresses[0]

    async def _post(self, url: httpx.URL, address: _Address, *, message_id: str, body: bytes, secret: bytes) -> int:
        # To the address that was checked, and not to what the name may mean a moment later.
        timestamp = str(int(time.time()))
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "X-Webhook-Id": message_id,
            "X-Webhook-Timestamp": timestamp,
            "X-Webhook-Signature": f"sha256={signature(secret, timestamp, body)}",
        }
        async with httpx.AsyncClient(verify=tls_for(str(url)), trust_env=False, follow_redirects=False) as client:
            request = client.build_request(
                "POST",
                url.copy_with(host=str(address)),
                content=body,
                headers=headers,
                extensions={"sni_hostname": url.host},
            )
            response = await client.send(request, stream=True)  # its body is nobody's interest, however long
            await response.aclose()
        return response.status_code


def webhook_called(settings: Settings, table: JobTable) -> Effect:
    """The effect of an event that a job has ended: the job's webhook is called with the event, if it has one."""
    webhooks = Webhooks(settings)
    query = f"SELECT webhook_url FROM {table.name} WHERE job_id = %s"  # noqa: S608 - a name of this program

    async def call(db: Db, delivery: Delivery) -> None:
        row = await (await db.execute(query, [delivery.message.correlation_id])).fetchone()
        if row is not None and row["webhook_url"]:
            message = delivery.message
            await webhooks.send(row["webhook_url"], message_id=message.message_id, body=message.body)

    return call


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What `X-Webhook-Signature` holds behind `sha256=`."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_global and not mapped.is_multicast

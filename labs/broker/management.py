"""RabbitMQ's management API, typed: every answer an object, every failure one of our errors, never an HTTP one.

Its figures are snapshots that the broker takes now and then: about a second old on our private node, five by default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from labs.broker.management_types import (
    Binding,
    Channel,
    ClusterNode,
    Connection,
    Consumer,
    Exchange,
    Overview,
    Queue,
    ReceivedMessage,
)
from labs.errors import BrokerRefused, BrokerUnavailable, ManagementError
from labs.processes import wait_until
from labs.tls import tls_for

T = TypeVar("T")


class _Routed(BaseModel):
    routed: bool


class _Named(BaseModel):
    name: str


class Management:
    """A client of the management API at `url` (`http://user:password@host:port`).

    Connects at the first call. A context manager, if you want the socket closed at once.

    Every method raises:
        BrokerUnavailable: nothing answers there.
        BrokerRefused: wrong credentials, or not permitted.
        ManagementError: the call itself was refused; `status` is the HTTP status, 404 if there is no such thing.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        #: The address without credentials, fit for logs.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.user = unquote(parts.username or "guest")
        self._http = httpx.Client(
            base_url=self.address + parts.path.rstrip("/"),
            auth=(self.user, unquote(parts.password or "guest")),
            timeout=timeout_s,
            verify=tls_for(self.address),
            trust_env=False,  # a proxy of the user's must not be asked for a broker on loopback
        )

    def __enter__(self) -> Management:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; harmless if called twice."""
        self._http.close()

    def wait_until_ready(self, *, timeout_s: float = 30.0) -> Overview:
        """Wait until it answers with an AMQP listener open."""

        def ready() -> bool:
            try:
                return any(listener.protocol.startswith("amqp") for listener in self.overview().listeners)
            except (BrokerUnavailable, ManagementError):
                return False

        if not wait_until(ready, timeout_s=timeout_s, every_s=0.1):
            raise BrokerUnavailable(f"RabbitMQ at {self.address} was not ready within {timeout_s:.0f} s: see its log")
        return self.overview()

    def overview(self) -> Overview:
        """Version, node, listeners, totals and rates."""
        return self._get(Overview, "overview")

    def nodes(self) -> list[ClusterNode]:
        """The nodes of the cluster; one that is down has names and zeros alone."""
        return self._get(list[ClusterNode], "nodes")

    def exchanges(self, vhost: str) -> list[Exchange]:
        """The exchanges of a virtual host, the predefined ones too."""
        return self._get(list[Exchange], "exchanges", vhost)

    def queues(self, vhost: str) -> list[Queue]:
        """The queues of a virtual host."""
        return self._get(list[Queue], "queues", vhost)

    def queue(self, vhost: str, name: str) -> Queue:
        """One queue; ManagementError with status 404 if there is none."""
        return self._get(Queue, "queues", vhost, name)

    def bindings(self, vhost: str) -> list[Binding]:
        """The bindings of a virtual host, the default ones too."""
        return self._get(list[Binding], "bindings", vhost)

    def connections(self, vhost: str | None = None) -> list[Connection]:
        """The open connections, of one virtual host or all; a new one shows up after a moment."""
        return self._get(list[Connection], *(("vhosts", vhost) if vhost else ()), "connections")

    def channels(self) -> list[Channel]:
        """The open channels."""
        return self._get(list[Channel], "channels")

    def consumers(self, vhost: str) -> list[Consumer]:
        """The consumers of a virtual host."""
        return self._get(list[Consumer], "consumers", vhost)

    def close_connection(self, name: str, *, reason: str = "closed by the lab") -> None:
        """Close a client's connection; harmless if it is gone already."""
        self._call("DELETE", "connections", name, headers={"X-Reason": reason}, absent_ok=True)

    def publish(
        self,
        vhost: str,
        exchange: str,
        routing_key: str,
        body: str,
        *,
        properties: Mapping[str, object] | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> bool:
        """Publish a text; whether it reached a queue. For looking and trying: slow, and without confirm."""
        everything = dict(properties or {})
        if headers is not None:
            everything["headers"] = dict(headers)
        content = {
            "routing_key": routing_key,
            "payload": body,
            "payload_encoding": "string",
            "properties": everything,
        }
        # The default exchange has no name; a path needs one.
        answer = self._call("POST", "exchanges", vhost, exchange or "amq.default", "publish", content=content)
        return self._parse(_Routed, answer).routed

    def get(self, vhost: str, queue: str, *, count: int = 1, requeue: bool = False) -> list[ReceivedMessage]:
        """Take messages out; with `requeue` they go back, marked redelivered, their delivery count raised."""
        mode = "ack_requeue_true" if requeue else "ack_requeue_false"
        content = {"count": count, "ackmode": mode, "encoding": "auto"}
        return self._parse(list[ReceivedMessage], self._call("POST", "queues", vhost, queue, "get", content=content))

    def delete_queue(self, vhost: str, name: str) -> None:
        """Delete a queue with all that is in it; harmless if there is none."""
        self._call("DELETE", "queues", vhost, name, absent_ok=True)

    def purge_queue(self, vhost: str, name: str) -> None:
        """Throw away the ready messages of a queue."""
        self._call("DELETE", "queues", vhost, name, "contents")

    def virtual_hosts(self) -> list[str]:
        """The names of all virtual hosts."""
        return [vhost.name for vhost in self._get(list[_Named], "vhosts")]

    def create_virtual_host(self, name: str) -> None:
        """Make a virtual host, with every permission for the current user; harmless if it exists."""
        self._call("PUT", "vhosts", name, content={})
        self.set_permissions(name, self.user)

    def delete_virtual_host(self, name: str) -> None:
        """Delete a virtual host with all that is in it; its connections are closed; harmless if there is none."""
        self._call("DELETE", "vhosts", name, absent_ok=True)

    def create_user(self, name: str, password: str, *, tags: str = "") -> None:
        """Make a user, or change password and tags (`administrator,monitoring`) of one."""
        self._call("PUT", "users", name, content={"password": password, "tags": tags})

    def delete_user(self, name: str) -> None:
        """Delete a user; harmless if there is none."""
        self._call("DELETE", "users", name, absent_ok=True)

    def set_permissions(
        self, vhost: str, user: str, *, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """What a user may configure, write and read in a virtual host, as regular expressions; `^$` is nothing."""
        content = {"configure": configure, "write": write, "read": read}
        self._call("PUT", "permissions", vhost, user, content=content)

    def set_policy(self, vhost: str, name: str, *, pattern: str, definition: Mapping[str, object]) -> None:
        """Set keys like `max-length` for all queues whose name matches; it counts after a moment."""
        content = {"pattern": pattern, "definition": dict(definition), "apply-to": "queues"}
        self._call("PUT", "policies", vhost, name, content=content)

    def delete_policy(self, vhost: str, name: str) -> None:
        """Take a policy back; harmless if there is none."""
        self._call("DELETE", "policies", vhost, name, absent_ok=True)

    def _get(self, kind: type[T], *path: str) -> T:
        return self._parse(kind, self._call("GET", *path))

    def _call(
        self,
        method: str,
        *path: str,
        content: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        absent_ok: bool = False,
    ) -> bytes:
        url = "/api/" + "/".join(quote(part, safe="") for part in path)
        try:
            response = self._http.request(method, url, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise BrokerUnavailable(
                f"RabbitMQ's management API at {self.address} doesn't answer ({error or type(error).__name__}): "
                "is the broker up, and its management plugin enabled?"
            ) from error
        if response.is_success or (absent_ok and response.status_code == 404):
            return response.content
        raise _refusal(response, f"{method} {url}", user=self.user, address=self.address)

    def _parse(self, kind: type[T], content: bytes) -> T:
        try:
            return TypeAdapter(kind).validate_json(content)
        except ValidationError as error:
            raise ManagementError(f"{self.address} doesn't answer like RabbitMQ's management API: {error}") from error


def _refusal(response: httpx.Response, call: str, *, user: str, address: str) -> BrokerRefused | ManagementError:
    reason = _reason(response)
    if response.status_code in (401, 403):
        return BrokerRefused(f"{address} refuses {user!r} for {call}: {reason}. Check user, password and permissions")
    return ManagementError(f"{call} was refused with {response.status_code}: {reason}", status=response.status_code)


def _reason(response: httpx.Response) -> str:
    try:
        answer: Any = json.loads(response.content)
        return str(answer.get("reason") or answer.get("error"))
    except (ValueError, AttributeError):
        return response.reason_phrase

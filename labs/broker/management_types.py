"""What the management API answers, as typed and frozen objects; fields that nobody here uses are dropped."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_objects(cls, value: object) -> object:
        # Erlang can't tell an empty object from an empty list, and sends the latter.
        return {} if value == [] else value


class Listener(_Answer):
    """A socket that the broker listens on."""

    protocol: str
    ip_address: str
    port: int


class Rate(_Answer):
    """Messages per second, averaged by the broker."""

    rate: float = 0.0


class ObjectTotals(_Answer):
    """How many of each the broker has."""

    connections: int = 0
    channels: int = 0
    exchanges: int = 0
    queues: int = 0
    consumers: int = 0


class QueueTotals(_Answer):
    """Messages in all queues together."""

    messages: int = 0
    messages_ready: int = 0
    messages_unacknowledged: int = 0


class MessageStats(_Answer):
    """Messages counted since the broker started, and their rates."""

    publish: int = 0
    publish_details: Rate = Rate()
    confirm: int = 0
    confirm_details: Rate = Rate()
    deliver_get: int = 0
    deliver_get_details: Rate = Rate()
    ack: int = 0
    ack_details: Rate = Rate()
    redeliver: int = 0
    redeliver_details: Rate = Rate()
    return_unroutable: int = 0
    drop_unroutable: int = 0


class Overview(_Answer):
    """The broker as a whole."""

    version: str = Field(alias="rabbitmq_version")
    erlang_version: str
    node: str
    cluster_name: str = ""
    object_totals: ObjectTotals = ObjectTotals()
    queue_totals: QueueTotals = QueueTotals()
    message_stats: MessageStats = MessageStats()
    listeners: tuple[Listener, ...] = ()

    @field_validator("listeners", mode="before")
    @classmethod
    def _no_listeners(cls, value: object) -> object:
        return value or ()


class ClusterNode(_Answer):
    """One node of the cluster: what it uses, and whether an alarm holds publishers back."""

    name: str
    running: bool = True
    os_pid: int | None = None
    mem_used: int = 0
    mem_limit: int = 0
    mem_alarm: bool = False
    disk_free: int = 0
    disk_free_alarm: bool = False
    proc_used: int = 0
    fd_used: int = 0
    sockets_used: int = 0
    run_queue: int = 0


class Exchange(_Answer):
    """An exchange; the default exchange has the empty name."""

    name: str
    vhost: str
    type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: dict[str, Any] = {}


class Queue(_Answer):
    """A queue; counts may be a few seconds old, `labs.broker.depth` asks the queue itself."""

    name: str
    vhost: str
    type: str = "classic"
    durable: bool
    exclusive: bool = False
    auto_delete: bool = False
    arguments: dict[str, Any] = {}
    messages: int = 0
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    consumers: int = 0
    state: str = "unknown"
    node: str | None = None
    message_stats: MessageStats = MessageStats()


class Binding(_Answer):
    """A binding; the source of a queue's default binding is the empty name."""

    source: str
    destination: str
    destination_type: str
    routing_key: str
    vhost: str
    arguments: dict[str, Any] = {}


class Connection(_Answer):
    """A client's connection; those just opened may lack everything but the name for a moment."""

    name: str
    vhost: str | None = None
    user: str | None = None
    state: str | None = None
    channels: int = 0
    peer_host: str | None = None
    peer_port: int | None = None
    client_properties: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """The name that the client gave itself, or the one that the broker made."""
        return str(self.client_properties.get("connection_name") or self.name)


class Channel(_Answer):
    """A channel of a connection."""

    name: str
    vhost: str | None = None
    user: str | None = None
    number: int = 0
    prefetch_count: int = 0
    messages_unacknowledged: int = 0
    messages_unconfirmed: int = 0
    consumer_count: int = 0
    confirm: bool = False


class QueueName(_Answer):
    """Which queue is meant."""

    name: str
    vhost: str


class Consumer(_Answer):
    """A subscription of a channel to a queue."""

    consumer_tag: str
    queue: QueueName
    ack_required: bool
    prefetch_count: int = 0
    exclusive: bool = False


class ReceivedMessage(_Answer):
    """A message that `get` took out, or looked at."""

    payload: str
    payload_encoding: str
    exchange: str
    routing_key: str
    redelivered: bool
    properties: dict[str, Any] = {}
    message_count: int = 0

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers."""
        return dict(self.properties.get("headers") or {})

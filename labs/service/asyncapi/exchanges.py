"""Channels that are published to: an exchange with a routing key."""

from __future__ import annotations

import re

from labs.messaging.message import PERSISTENT
from labs.messaging.topology import DEFAULT_EXCHANGE, Topology
from labs.service.asyncapi.parts import BINDING_VERSION, Json, Parts, documented, identifier, reference
from labs.systems.contract import Sent
from labs.systems.system import System


def sending(parts: Parts, system: System, topology: Topology) -> None:
    """Add a channel for each exchange and key, and an operation for each message that is sent there."""
    for sent in system.sends:
        channel_id = identifier(sent.exchange or "default", sent.key)
        message_id = parts.message(system.name, sent.schema)
        channel = parts.channels.setdefault(channel_id, _channel(sent, topology))
        channel["messages"][message_id] = reference("components", "messages", message_id)
        operation_id = identifier("send", message_id)
        if operation_id in parts.operations:
            raise ValueError(f"message {message_id} is sent by two systems, or to two places")
        parts.operations[operation_id] = {
            "action": "send",
            "title": documented(sent.schema.model),
            "channel": reference("channels", channel_id),
            "messages": [reference("channels", channel_id, "messages", message_id)],
            "tags": [{"name": system.name}],
            "bindings": {
                "amqp": {"deliveryMode": PERSISTENT, "mandatory": True, "bindingVersion": BINDING_VERSION},
            },
        }


def _channel(sent: Sent, topology: Topology) -> Json:
    channel: Json = {
        "address": sent.key or sent.exchange,
        "description": f"Reaches the queues {', '.join(topology.reached(sent.exchange, sent.key))}."
        if topology.reached(sent.exchange, sent.key)
        else "Reaches whoever listens.",
        "messages": {},
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": _exchange(sent, topology), "bindingVersion": BINDING_VERSION}
        },
    }
    parameters = re.findall(r"{(\w+)}", sent.key)
    return {**channel, "parameters": {name: {} for name in parameters}} if parameters else channel


def _exchange(sent: Sent, topology: Topology) -> Json:
    if sent.exchange == DEFAULT_EXCHANGE:
        return {"name": DEFAULT_EXCHANGE, "type": "default"}
    [kind] = [exchange.kind for exchange in topology.exchanges if exchange.name == sent.exchange]
    return {"name": sent.exchange, "type": kind, "durable": True, "autoDelete": False}

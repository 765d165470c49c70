"""Channels that are consumed from: the work queues, with the messages that reach each of them."""

from __future__ import annotations

from labs.messaging.topology import Queue, Topology, retry_queue
from labs.service.asyncapi.parts import BINDING_VERSION, Json, Parts, identifier, reference
from labs.settings import Settings
from labs.systems.system import System


def receiving(parts: Parts, system: System, topology: Topology, settings: Settings) -> None:
    """Add a channel and an operation for each work queue of a system."""
    for name in system.queues:
        [queue] = [each for each in topology.queues if each.name == name]
        channel_id = identifier("queue", name)
        reaching = [
            parts.message(system.name, sent.schema)
            for sent in system.sends
            if name in topology.reached(sent.exchange, sent.key)
        ]
        parts.channels[channel_id] = {
            "address": name,
            "messages": {each: reference("components", "messages", each) for each in reaching},
            "bindings": {"amqp": queue_binding(name)},
            **_extensions(queue, topology, settings),
        }
        parts.operations[identifier("receive", name)] = {
            "action": "receive",
            "title": f"Handle what waits in {name}",
            "channel": reference("channels", channel_id),
            "messages": [reference("channels", channel_id, "messages", each) for each in reaching],
            "tags": [{"name": system.name}],
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        }


def queue_binding(name: str) -> Json:
    """How AMQP sees a durable queue that consumers share."""
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    return {"is": "queue", "queue": queue, "bindingVersion": BINDING_VERSION}


def _extensions(queue: Queue, topology: Topology, settings: Settings) -> Json:
    """What AsyncAPI has no words for: bindings, arguments, and the way of what fails."""
    bindings = [each for each in topology.bindings if each.queue == queue.name]
    return {
        "x-bindings": [{"exchange": each.exchange, "key": each.key} for each in bindings],
        "x-arguments": dict(queue.arguments),
        "x-retry-queues": [retry_queue(queue.name, delay_ms) for delay_ms in settings.retry_delays_ms],
        "x-dead-letter-queue": topology.dead_letter_queue(queue.name),
    }

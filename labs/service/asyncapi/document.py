"""Puts the document together: what every system sends, which queues get it, and which calls are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import labs
from labs.service.asyncapi.calls import Calls
from labs.service.asyncapi.exchanges import sending
from labs.service.asyncapi.parts import Parts
from labs.service.asyncapi.queues import receiving
from labs.settings import Settings
from labs.systems.system import System

_DESCRIPTION = """What the systems of the lab say over RabbitMQ, made from their code by `python -m labs asyncapi`.

A message is published to an exchange with a routing key, persistent, mandatory and confirmed, and waits in each
queue that is bound. Delivery is at least once and the order is not kept: consumers know a repetition by `message_id`.
"""


def asyncapi_document(systems: Sequence[System], settings: Settings) -> dict[str, Any]:
    """The document of these systems, with the topology that these settings give them."""
    parts = Parts()
    for system in systems:
        topology = system.topology(settings)
        sending(parts, system, topology)
        receiving(parts, system, topology, settings)
        Calls(parts, system.name).add(system.answers)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:rabbitmq-lab",
        "info": {
            "title": "RabbitMQ Lab",
            "version": labs.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "{host}:{port}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "The private node of `python -m labs up`, or the broker of LAB_AMQP_URL.",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "5672"}},
            }
        },
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {
            "messages": parts.messages,
            "schemas": parts.schemas,
            "correlationIds": {
                "amqp": {
                    "location": "$message.header#/correlation_id",
                    "description": "The property `correlation_id` of AMQP, no header of the application.",
                }
            },
        },
    }

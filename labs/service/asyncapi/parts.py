"""The parts of the document that systems add to, and how its places refer to one another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from labs.messaging.message import Message, Schema

Json = dict[str, Any]

BINDING_VERSION = "0.3.0"
_ENVELOPE = "Envelope"


def reference(*path: str) -> Json:
    """A reference to a place in this document."""
    return {"$ref": "#/" + "/".join(path)}


def identifier(*names: str) -> str:
    """A name for a part of the document, made of names that may hold what it may not."""
    return re.sub(r"[^A-Za-z0-9_-]", "", "_".join(name for name in names if name).replace(".", "_"))


def documented(model: type[BaseModel]) -> str:
    """The first line of a model's docstring."""
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


@dataclass
class Parts:
    """What the document is made of; the envelope of messages is there from the beginning."""

    channels: dict[str, Json] = field(default_factory=dict)
    operations: dict[str, Json] = field(default_factory=dict)
    messages: dict[str, Json] = field(default_factory=dict)
    schemas: dict[str, Json] = field(default_factory=lambda: {_ENVELOPE: _envelope()})

    def message(self, system: str, schema: Schema[Any]) -> str:
        """Add a message in its envelope; returns its id. The same one may be added again."""
        version = f".v{schema.version}" if schema.version > 1 else ""
        headers = [
            reference("components", "schemas", _ENVELOPE),
            {"properties": {"version": {"const": schema.version}}},
        ]
        return self.plain_message(
            f"{schema.name}{version}",
            {
                "name": schema.name,
                "headers": {"allOf": headers},
                "bindings": {"amqp": {"messageType": schema.name, "bindingVersion": BINDING_VERSION}},
            },
            system=system,
            model=schema.model,
        )

    def plain_message(self, name: str, more: Json, *, system: str, model: type[BaseModel]) -> str:
        """Add a message with this body; returns its id."""
        message_id = identifier(name)
        message = {
            "title": documented(model),
            "contentType": "application/json",
            "correlationId": reference("components", "correlationIds", "amqp"),
            "payload": self._schema(system, model),
            **more,
        }
        if self.messages.setdefault(message_id, message) != message:
            raise ValueError(f"two systems have a message {message_id}, and not the same")
        return message_id

    def _schema(self, system: str, model: type[BaseModel]) -> Json:
        """Add the schema of a model and of those it is made of, under their system's name; returns the reference."""
        schema = model.model_json_schema(ref_template=f"#/components/schemas/{system}_{{model}}")
        for name, part in {**schema.pop("$defs", {}), model.__name__: schema}.items():
            self.schemas[f"{system}_{name}"] = part
        return reference("components", "schemas", f"{system}_{model.__name__}")


def _envelope() -> Json:
    """The headers of every message but those of calls. What AMQP itself has for the rest is told in words."""
    count = {"type": "integer"}
    properties = {
        "version": {**count, "minimum": 1, "description": "Of the schema of the body."},
        "occurred-at": {"type": "string", "format": "date-time", "description": "When the message was made."},
        "attempt": {**count, "minimum": 1, "description": "1, and one more for each retry."},
        "redrives": {**count, "minimum": 1, "description": "How often an operator has sent it back; absent if never."},
        "traceparent": {"type": "string", "description": "W3C Trace Context, if the request had or got one."},
        "trail": {
            "type": "array",
            "items": {"type": "string"},
            "description": "One line for each failed attempt; absent before the first.",
        },
    }
    always = sorted(Message(type="", version=1, body=b"").headers())
    description = (
        "Beside these headers every message has the properties `message_id` (a UUID, the same over retries and "
        "redrives), `type`, `content_type` and `delivery_mode` 2, and most have a `correlation_id`."
    )
    return {"type": "object", "description": description, "properties": properties, "required": always}

"""The envelope every message travels in: frozen, typed, size-capped, JSON only.

What routing, retrying and tracing need rides in AMQP properties and headers; the body is the
JSON object that the system's document names, byte for byte the same on every attempt.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pika.spec import BasicProperties
from pydantic import BaseModel, ConfigDict, ValidationError

from labs.errors import MessageError

Body = TypeVar("Body", bound=BaseModel)

#: Entries a trail keeps; a message redriven many times doesn't outgrow its frame.
TRAIL_LENGTH = 20
#: Characters of a line that is taken over, so that a header frame never outgrows what a broker accepts.
LINE_LENGTH = 500
PERSISTENT = 2
#: Counts stay within what AMQP can carry, whatever a stranger has written.
_MOST = 2**31 - 1
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: the envelope and the body as it lies on the wire.

    `message_id` is the same over retries and redrives: it is what consumers deduplicate by.
    """

    type: str
    version: int
    body: bytes = field(repr=False)
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    occurred_at: datetime = field(default_factory=now)
    correlation_id: str | None = None
    #: 1 for the first delivery, one more for each retry.
    attempt: int = 1
    #: How often an operator has sent it back from a dead-letter queue.
    redrives: int = 0
    traceparent: str | None = None
    #: One line for each failed attempt: time, attempt, error. Never holds a body.
    trail: tuple[str, ...] = ()

    def headers(self) -> dict[str, Any]:
        headers: dict[str, Any] = {
            "version": self.version,
            "occurred-at": self.occurred_at.isoformat(),
            "attempt": self.attempt,
        }
        if self.redrives:
            headers["redrives"] = self.redrives
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        if self.trail:
            headers["trail"] = list(self.trail)
        return headers

    def properties(self, extra: Mapping[str, Any] | None = None) -> BasicProperties:
        """Persistent properties of this envelope, with `extra` headers."""
        return BasicProperties(
            content_type="application/json",
            delivery_mode=PERSISTENT,
            message_id=self.message_id,
            correlation_id=self.correlation_id,
            type=self.type,
            headers={**self.headers(), **(extra or {})},
        )

    def next_attempt(self, error: str) -> Message:
        """The same message, one attempt later, with the error in its trail."""
        return replace(self.failed(error), attempt=self.attempt + 1)

    def failed(self, error: str) -> Message:
        """The same message with the error of this attempt in its trail."""
        line = f"{now().isoformat(timespec='milliseconds')} attempt {self.attempt}: {error}"
        return replace(self, trail=(*self.trail, line)[-TRAIL_LENGTH:])

    def redriven(self) -> Message:
        """The same message as an operator sends it back: attempts start anew."""
        return replace(self, attempt=1, redrives=self.redrives + 1)


def decode(properties: BasicProperties, body: bytes, *, max_bytes: int) -> Message:
    """Read the envelope of a delivery.

    Raises:
        MessageError: too large, or a part of the envelope is missing or has the wrong form.
    """
    if len(body) > max_bytes:
        raise MessageError(f"the body has {len(body)} bytes, more than {max_bytes}")
    headers = properties.headers or {}
    if not properties.message_id or not properties.type:
        raise MessageError("the envelope has no message_id or no type")
    try:
        return Message(
            type=properties.type,
            version=int(headers["version"]),
            body=body,
            message_id=_canonical(properties.message_id),
            occurred_at=datetime.fromisoformat(headers["occurred-at"]),
            correlation_id=properties.correlation_id,
            attempt=_counted(headers, "attempt", least=1),
            redrives=_counted(headers, "redrives", least=0),
            traceparent=_text_or_none(headers.get("traceparent")),
            trail=tuple(str(line)[:LINE_LENGTH] for line in headers["trail"][-TRAIL_LENGTH:])
            if "trail" in headers
            else (),
        )
    except KeyError as error:
        raise MessageError(f"the envelope has no header {error.args[0]!r}") from None
    except (ValueError, TypeError, OverflowError):
        raise MessageError("message_id is not a UUID, or a header of the envelope has the wrong form") from None


def enveloped(properties: BasicProperties, *, kind: str) -> BasicProperties:
    """Properties with an envelope: those of somebody who knows nothing of ours get one, of version 1.

    The same foreign message_id gives the same UUID. Without one each delivery counts as another message.
    """
    headers, given = dict(properties.headers or {}), properties.message_id
    if given and "version" in headers:
        return properties
    return BasicProperties(
        content_type=properties.content_type,
        correlation_id=properties.correlation_id,
        message_id=str(uuid.uuid5(uuid.NAMESPACE_OID, given) if given else uuid.uuid4()),
        type=properties.type or kind,
        headers={"version": 1, "occurred-at": now().isoformat(), **headers},
    )


def _canonical(message_id: str) -> str:
    """A UUID in its usual form; most have it already, which is cheaper to see than to make."""
    return message_id if _UUID.fullmatch(message_id) else str(uuid.UUID(message_id))


def _counted(headers: Mapping[str, Any], name: str, *, least: int) -> int:
    return min(max(least, int(headers.get(name, least))), _MOST)


def _text_or_none(value: object) -> str | None:
    return value[:LINE_LENGTH] if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Schema(Generic[Body]):
    """One version of one message type: its name and the model of its body."""

    name: str
    version: int
    model: type[Body]

    def message(
        self,
        body: Body,
        *,
        correlation_id: str | None = None,
        traceparent: str | None = None,
        occurred_at: datetime | None = None,
    ) -> Message:
        """Wrap a body into a new message; what it tells has occurred just now, if not said otherwise."""
        return Message(
            type=self.name,
            version=self.version,
            body=body.model_dump_json(exclude_none=True).encode(),
            occurred_at=occurred_at or now(),
            correlation_id=correlation_id,
            traceparent=traceparent,
        )

    def parse(self, message: Message) -> Body:
        """The typed body of a message of this schema.

        Raises:
            MessageError: not JSON, or a field is missing or wrong; the text names fields, never values.
        """
        try:
            return self.model.model_validate_json(message.body)
        except ValidationError as error:
            raise MessageError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """What is wrong with a body: names a field, never a value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return "the body is not JSON"
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{where}: {first['msg']}"


class Payload(BaseModel):
    """The model of a body. Unknown fields are ignored: a newer producer of the same version may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Schemas:
    """The message types a consumer understands."""

    def __init__(self, *schemas: Schema[Any]) -> None:
        self._known = {(schema.name, schema.version): schema for schema in schemas}

    def __iter__(self) -> Iterator[Schema[Any]]:
        return iter(self._known.values())

    def parse(self, message: Message) -> BaseModel:
        """The typed body of a message.

        Raises:
            MessageError: unknown type or version, or a body that isn't its schema's.
        """
        schema = self._known.get((message.type, message.version))
        if schema is None:
            versions = sorted(version for kind, version in self._known if kind == message.type)
            if versions:
                raise MessageError(f"{message.type} has version {message.version}; known: {versions}")
            raise MessageError(f"unknown message type {message.type[:80]!r}")
        parsed: BaseModel = schema.parse(message)
        return parsed

"""The AsyncAPI 3.0 document of all systems: channels, operations and messages, made from what the systems are."""

from labs.service.asyncapi.document import asyncapi_document

__all__ = ["asyncapi_document"]

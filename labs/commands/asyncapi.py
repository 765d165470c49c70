"""asyncapi: what all systems say over the broker, as a document for people and tools."""

from __future__ import annotations

import json

import typer

from labs.settings import get_settings


def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of all systems; the API serves it at /asyncapi.json.

    Example: python -m labs asyncapi > docs/asyncapi.json
    """
    from labs.service.asyncapi import asyncapi_document  # noqa: PLC0415
    from labs.systems.registry import SYSTEMS  # noqa: PLC0415

    typer.echo(json.dumps(asyncapi_document(SYSTEMS, get_settings()), indent=2))

"""The API's own document, made without a database or a broker."""

from __future__ import annotations

from labs.service.api import create_app
from labs.settings import load_settings

METHODS = ("get", "post", "put", "delete", "patch")


def operations() -> set[tuple[str, str]]:
    """Method and path of every route in it, and of those that serve documents."""
    app = create_app(load_settings(database_url="postgresql://nowhere/none", amqp_url=None))
    paths = app.openapi()["paths"]
    documented = {(method.upper(), path) for path, item in paths.items() for method in item if method in METHODS}
    return documented | {("GET", "/asyncapi.json")}

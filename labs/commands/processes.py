"""api, relay, worker, peers, stub: one process each, in the foreground; token: a way in."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from labs.settings import get_settings, load_settings
from labs.systems.user import USER_NAME, USER_NAME_FORM


def _user_name(given: str | None) -> str | None:
    if given is not None and USER_NAME.fullmatch(given) is None:
        raise typer.BadParameter(USER_NAME_FORM)
    return given


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on (LAB_API_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any (LAB_API_PORT).")] = None,
) -> None:
    """Run the HTTP API until Ctrl-C or SIGTERM.

    Example: python -m labs api --port 8001
    """
    from labs.service.api import run_api  # noqa: PLC0415 - FastAPI takes a while to import; other commands needn't

    given = {"api_host": host, "api_port": port}
    run_api(load_settings(**{name: value for name, value in given.items() if value is not None}))


def relay() -> None:
    """Run a relay, which publishes the outbox and reconciles, until Ctrl-C or SIGTERM; any number may run.

    Example: python -m labs relay
    """
    from labs.service.relays import run_relay  # noqa: PLC0415

    run_relay(get_settings())


def worker(
    prefetch: Annotated[int | None, typer.Option(help="Messages in hand at once (LAB_PREFETCH).")] = None,
) -> None:
    """Run a worker until Ctrl-C or SIGTERM, which let it finish what it runs; any number may run.

    Example: python -m labs worker --prefetch 50
    """
    from labs.service.workers import run_worker  # noqa: PLC0415

    run_worker(load_settings(**({} if prefetch is None else {"prefetch": prefetch})))


def peers(
    service: Annotated[Literal["user", "matching", "collaboration"], typer.Argument(help="Which one.")],
) -> None:
    """Run one of the peers' services until Ctrl-C or SIGTERM; any number of each may run.

    Example: python -m labs peers matching
    """
    from labs.service.services import run_service  # noqa: PLC0415

    run_service(get_settings(), f"peers-{service}")


def stub(
    host: Annotated[str | None, typer.Option(help="Address to listen on (LAB_STUB_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any (LAB_STUB_PORT).")] = None,
) -> None:
    """Run the stub model until Ctrl-C or SIGTERM; turn its dials at /dials, read its ledger at /ledger.

    Example: python -m labs stub --port 8090
    """
    from labs.llm.stub import run_stub  # noqa: PLC0415

    given = {"stub_host": host, "stub_port": port}
    run_stub(load_settings(**{name: value for name, value in given.items() if value is not None}))


def token(
    user: Annotated[int, typer.Option(min=1, help="The user's id.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="Instead, for routes under /v1: the user's name.", callback=_user_name)
    ] = None,
    email: Annotated[str | None, typer.Option(help="The user's e-mail address.")] = None,
    lifetime_s: Annotated[int | None, typer.Option(min=1, help="Seconds until it expires.")] = None,
) -> None:
    """Print a bearer token.

    Example: curl -H "Authorization: Bearer $(python -m labs token)" http://127.0.0.1:8000/api/cover-letter/jobs
    """
    from labs.service.tokens import make_token  # noqa: PLC0415

    typer.echo(make_token(get_settings(), user_id=name or user, email=email, lifetime_s=lifetime_s))

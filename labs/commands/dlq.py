"""dlq: what could not be handled, why, and the way back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Column, Table

from labs.broker import redacted
from labs.commands import shared
from labs.errors import BrokerError, BrokerUnavailable
from labs.messaging.connection import Connection
from labs.messaging.dead_letters import DeadLetter, Match, Redrive, browse, redrive
from labs.messaging.publisher import Publisher
from labs.messaging.topology import dead_letter_queue
from labs.service.runtime import broker_address
from labs.settings import get_settings
from labs.systems.registry import dead_letter_queues

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, and send back.")

_SHOWN_BODY_BYTES = 2000

QueueName = Annotated[str, typer.Argument(help="A work queue, or its dead-letter queue.")]
T = TypeVar("T")


@dataclass(frozen=True)
class _Chosen:
    """A dead-letter queue, and of which work queue its letters are meant, if several share it."""

    name: str
    source: str | None = None

    def holds(self, letter: DeadLetter) -> bool:
        return self.source is None or letter.source == self.source


AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]


@app.command("list")
def list_(
    queue: Annotated[str | None, typer.Argument(help="A work queue, or its dead-letter queue; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of each queue at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters with reason and attempts, oldest first. They stay where they are.

    Example: python -m labs dlq list cover-letter.generate
    """
    url = _broker()
    all_of_them = dict.fromkeys(dead_letter_queues(get_settings()).values())
    chosen = [_chosen(queue)] if queue else [_Chosen(name) for name in all_of_them]
    letters = [letter for each in chosen for letter in _asked(url, _browse(url, each, limit, required=bool(queue)))]
    if as_json:
        shared.out.print_json(json.dumps([_facts(letter) for letter in letters], default=str))
        return
    message = Column("message", min_width=shared.ID_COLUMNS)
    table = Table("queue", message, "type", "attempts", "redrives", "died at", "reason")
    for letter in letters:
        died_at = f"{letter.died_at:%Y-%m-%d %H:%M:%S}" if letter.died_at else ""
        table.add_row(
            letter.source,
            letter.message_id or "(none)",
            letter.type or "(none)",
            str(letter.attempts),
            str(letter.redrives),
            died_at,
            letter.reason,
        )
    shared.out.print(table if letters else "no dead letters")


@app.command()
def show(
    queue: QueueName,
    message_id: Annotated[str, typer.Argument(help="The message's id, from `dlq list`.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: reason, trail and the beginning of its body (which may hold a CV).

    Example: python -m labs dlq show cover-letter.generate 5d0c2c3e-...
    """
    url = _broker()
    chosen = _chosen(queue)

    def match(letter: DeadLetter) -> bool:
        return letter.message_id == message_id and chosen.holds(letter)

    letters = _asked(url, browse(url, chosen.name, match=match))
    if not letters:
        raise shared.fail(f"{chosen.name} holds no message {message_id}: see `python -m labs dlq list`")
    facts = {**_facts(letters[0]), "body": letters[0].body[:_SHOWN_BODY_BYTES].decode(errors="replace")}
    if as_json:
        shared.out.print_json(json.dumps(facts, default=str))
        return
    for name, value in facts.items():
        text = "\n  ".join(value) if isinstance(value, list | tuple) else str(value)
        shared.out.print(f"{name}: {text}", markup=False, soft_wrap=True)


@app.command("redrive")
def redrive_(
    queue: QueueName,
    message_id: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those whose reason contains this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would be done.")] = False,
) -> None:
    """Send dead letters back, each to the one queue that it failed in. Mend the cause first.

    Example: python -m labs dlq redrive cover-letter.generate --reason ModelFailed --yes
    """

    chosen = _chosen(queue)

    def match(letter: DeadLetter) -> bool:
        wanted = message_id is None or letter.message_id == message_id
        return wanted and chosen.holds(letter) and (reason is None or reason in letter.reason)

    url = _broker()
    done = _asked(url, _redrive(url, chosen.name, match, limit, act=yes))
    for letter in done.matched:
        shared.out.print(
            f"{letter.message_id or '(none)'}  to {letter.source}  {letter.reason}", markup=False, soft_wrap=True
        )
    verb = "sent back" if yes else "would be sent back (dry run: add --yes to do it)"
    shared.out.print(f"{len(done.matched)} {verb}, {done.left} left in {chosen.name}")
    if message_id is not None and not done.matched:
        raise typer.Exit(shared.FAILED)


def _asked(url: str, work: Coroutine[Any, Any, T]) -> T:
    """What the broker answers; that it doesn't is said with its address and what to do."""
    try:
        return asyncio.run(work)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"no broker answers at {redacted(url)}: start it, or correct LAB_AMQP_URL ({error})"
        ) from error


async def _redrive(url: str, queue: str, match: Match, limit: int | None, *, act: bool) -> Redrive:
    if not act:
        return await redrive(url, queue, publisher=None, match=match, limit=limit)
    async with Publisher(url, name="redrive") as publisher:
        return await redrive(url, queue, publisher=publisher, match=match, limit=limit)


async def _browse(url: str, chosen: _Chosen, limit: int, *, required: bool) -> list[DeadLetter]:
    if required or await _exists(url, chosen.name):
        return await browse(url, chosen.name, limit=limit, match=chosen.holds)
    return []


async def _exists(url: str, queue: str) -> bool:
    connection = await Connection.open(url, name="dead letters")
    try:
        await (await connection.channel()).queue_length(queue)
    except BrokerError:
        return False
    finally:
        await connection.close()
    return True


def _broker() -> str:
    return broker_address(get_settings())


def _chosen(queue: str) -> _Chosen:
    name = dead_letter_queues(get_settings()).get(queue)
    if name is None:
        return _Chosen(queue if queue.endswith(".dlq") else dead_letter_queue(queue))
    return _Chosen(name, source=None if name == dead_letter_queue(queue) else queue)


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "queue": letter.queue,
        "source": letter.source,
        "messageId": letter.message_id,
        "type": letter.type,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "diedAt": letter.died_at,
        "trail": list(letter.trail),
        "bytes": len(letter.body),
    }

"""Checkers of the notebooks' exercises: each looks at the broker or at real dead letters, and says what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from labs.broker import VirtualHost
from labs.llm.dials import Constant, ErrorRates
from labs.messaging.dead_letters import DeadLetter, browse
from labs.messaging.topology import dead_letter_queue
from labs.notebook.letters import until
from labs.notebook.session import Notebook
from labs.systems.cover_letters.topology import EXCHANGE, GENERATE_KEY, GENERATE_QUEUE

#: An envelope as our own messages have it, around a body that isn't one.
_ENVELOPE = {"message_id": "00000000-0000-4000-8000-000000000000", "type": "cover-letter.generate"}
_HEADERS = {"version": 1, "occurred-at": "2026-11-22T09:00:00+00:00"}


def check_urgent(vhost: VirtualHost) -> str:
    """Chapter 00: an exchange `news` whose messages with any key ending in `.urgent` reach the queue `urgent`."""
    exchanges = {exchange.name: exchange for exchange in vhost.exchanges()}
    if "news" not in exchanges:
        return "Not yet: there is no exchange `news`."
    if exchanges["news"].type != "topic":
        return f"Not yet: `news` is a {exchanges['news'].type} exchange, and only a topic exchange knows wildcards."
    if "urgent" not in {queue.name for queue in vhost.queues()}:
        return "Not yet: there is no queue `urgent`."
    vhost.management.purge_queue(vhost.name, "urgent")
    for key, wanted in (("sport.urgent", 1), ("sport.late.urgent", 1), ("urgent", 1), ("sport.calm", 0)):
        vhost.management.publish(vhost.name, "news", key, key)
        got = len(vhost.management.get(vhost.name, "urgent", count=10))
        if got != wanted:
            return f"Not yet: a message with the key `{key}` arrived {got} times in `urgent`; wanted: {wanted}."
    return "Solved: every urgent message arrives, once, and nothing else does."


async def monday_morning(lab: Notebook) -> list[DeadLetter]:
    """Chapter 09: four real dead letters: two failed with the model, two can never succeed. The model is mended."""
    with lab.model as model:
        model.set_dials(latency=Constant(ms=50), errors=ErrorRates(server_error=1.0))
    jobs = [lab.letters.post().job_id for _ in range(2)]
    _publish(lab.vhost, "buy cheap watches")
    _publish(lab.vhost, "{not JSON", properties=_ENVELOPE, headers=_HEADERS)
    await lab.letters.ended(jobs)

    async def all_there() -> list[DeadLetter] | None:
        found = await browse(lab.amqp_url, dead_letter_queue(GENERATE_QUEUE))
        letters = {letter.body: letter for letter in found}  # at least once: one may be there twice
        return list(letters.values()) if len(letters) == len(jobs) + 2 else None

    letters = await until(all_there, what="four dead letters")
    with lab.model as model:
        model.set_dials(errors=ErrorRates())
    return sorted(letters, key=lambda letter: letter.reason)


def _publish(vhost: VirtualHost, body: str, **options: Mapping[str, object]) -> None:
    vhost.management.publish(vhost.name, EXCHANGE, GENERATE_KEY, body, **options)


def check_worth_sending_back(letters: Sequence[DeadLetter], choose: Callable[[DeadLetter], bool]) -> str:
    """Chapter 09: a choice that takes the letters that failed for a passing reason, and no other."""
    for letter in letters:
        chosen, passing = bool(choose(letter)), letter.reason.startswith("ModelFailed")
        if chosen and not passing:
            return f"Not yet: you would send back a message that can never succeed ({letter.reason})."
        if passing and not chosen:
            return f"Not yet: you would leave a letter lying whose cause is mended ({letter.reason.split(':')[0]})."
    return f"Solved: {sum(map(bool, map(choose, letters)))} of {len(letters)} are worth sending back."

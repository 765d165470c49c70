"""Chapter 09: which dead letters are worth sending back."""

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


async def monday_morning(lab: Notebook) -> list[DeadLetter]:
    """Four real dead letters: two failed with the model, two can never succeed. The model is mended."""
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
    """A choice that takes the letters that failed for a passing reason, and no other."""
    for letter in letters:
        chosen, passing = bool(choose(letter)), letter.reason.startswith("ModelFailed")
        if chosen and not passing:
            return f"Not yet: you would send back a message that can never succeed ({letter.reason})."
        if passing and not chosen:
            return f"Not yet: you would leave a letter lying whose cause is mended ({letter.reason.split(':')[0]})."
    return f"Solved: {sum(map(bool, map(choose, letters)))} of {len(letters)} are worth sending back."

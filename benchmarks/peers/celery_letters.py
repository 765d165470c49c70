"""The cover letters on Celery: the same statements, bodies, prompt and model call, and tasks in place of consumers.

`python -m` is its relay, from the outbox to tasks, with confirms; `celery -A benchmarks.peers.celery_letters worker`
writes the letters and has both effects of their events. A late ack, retries with backoff, no lease kept alive.
"""

from __future__ import annotations

import asyncio
import logging
import os

import httpx2
import openai
from celery import Celery
from kombu import Queue
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from benchmarks.peers.job import AMQP_URL
from labs.llm.prompt import cover_letter_prompt
from labs.messaging.message import now
from labs.store.database import Database
from labs.store.inbox import RECORD_ALL
from labs.store.outbox import Outbox
from labs.store.statements import Statements
from labs.systems.cover_letters.analytics import COUNT, counting
from labs.systems.cover_letters.jobs import TABLE, completed
from labs.systems.cover_letters.messages import CoverLetterCompleted, GenerateCoverLetter
from labs.systems.cover_letters.topology import ANALYTICS_QUEUE, EMAIL_QUEUE, EVENT_QUEUES, GENERATE_QUEUE

log = logging.getLogger(__name__)

_DATABASE_URL = os.environ["BENCH_DATABASE_URL"]
_MODEL_URL = os.environ["BENCH_MODEL_URL"]
_LEASE_S, _BATCH = 10.0, 200
_RETRIES = {"autoretry_for": (Exception,), "retry_backoff": True, "max_retries": 3}

app = Celery("letters", broker=AMQP_URL)
app.conf.update(
    task_queues=[Queue(name, durable=True) for name in (GENERATE_QUEUE, *EVENT_QUEUES)],
    task_default_queue=GENERATE_QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=50,
    broker_transport_options={"confirm_publish": True},
)
statements = Statements(TABLE)
pool = ConnectionPool(
    _DATABASE_URL,
    connection_class=Connection[DictRow],
    max_size=10,
    open=False,
    kwargs={"autocommit": True, "row_factory": dict_row},
)
model = openai.OpenAI(api_key="stub", base_url=f"{_MODEL_URL}/v1", max_retries=0)


@app.task(name=GENERATE_QUEUE, **_RETRIES)
def generate(text: str, message_id: str) -> None:  # noqa: ARG001 - all tasks get both
    """Claim, ask the model outside any transaction, commit the letter with its event."""
    body = GenerateCoverLetter.model_validate_json(text)
    pool.open()
    with pool.connection() as db:
        claim = db.execute(
            statements.claim,
            {
                "job_id": body.jobId,
                "worker": "celery",
                "lease_s": _LEASE_S,
                "allowed": 0,
                "detail": Jsonb({"deliveredAt": now().isoformat(), "queue": GENERATE_QUEUE}),
            },
        ).fetchone()
    if claim is None:
        return  # a duplicate
    letter = _ask(body)
    event = completed(body)
    with pool.connection() as db:
        db.execute(
            statements.complete,
            {
                **event.parameters(),
                "job_id": body.jobId,
                "fence": claim["fence"],
                "result": letter,
                "detail": Jsonb({"model": "stub"}),
                "queue": GENERATE_QUEUE,
            },
        )


def _ask(body: GenerateCoverLetter) -> str:
    chat = cover_letter_prompt(body.jobDescription, body.cvText, body.tone.value)
    response = model.post(
        "/chat/completions",
        cast_to=httpx2.Response,
        body={"model": "stub", "messages": [{"role": each.role, "content": each.content} for each in chat]},
        options={"headers": {"X-Request-Id": body.jobId}},
    )
    return str(response.json()["choices"][0]["message"]["content"])


@app.task(name=EMAIL_QUEUE, **_RETRIES)
def email(text: str, message_id: str) -> None:
    """The effect of an event: a line in the log, once."""
    event = CoverLetterCompleted.model_validate_json(text)
    pool.open()
    with pool.connection() as db, db.transaction():
        if db.execute(RECORD_ALL, {"consumer": EMAIL_QUEUE, "message_ids": [message_id]}).rowcount == 1:
            log.info("e-mail for %s of %s", event.userId, event.jobId)


@app.task(name=ANALYTICS_QUEUE, **_RETRIES)
def analytics(text: str, message_id: str) -> None:
    """The other effect: a count."""
    event = CoverLetterCompleted.model_validate_json(text)
    pool.open()
    with pool.connection() as db:
        db.execute(COUNT, counting({message_id: event}))


async def relay() -> None:
    """Outbox to broker, until killed: claim, publish with confirms, mark; one task for each consumer."""
    async with Database(_DATABASE_URL, name="celery relay") as database:
        outbox = Outbox(database)
        while True:
            token, claimed = await outbox.claim(limit=_BATCH, lease_s=15)
            for row in claimed:
                for queue in row.message.consumers:
                    app.send_task(queue, args=[row.message.body, row.message.message_id], queue=queue)
            if claimed:
                await outbox.mark_published(token, [row.id for row in claimed])
            else:
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(relay())

"""Tells whoever asked for it that a job has ended."""

from __future__ import annotations

from labs.errors import PermanentError
from labs.messaging.delivery import Delivery
from labs.settings import Settings
from labs.store.database import Db
from labs.systems.once import Effect
from labs.systems.resumes.messages import ResumeEnded
from labs.systems.webhooks import Webhooks


def webhook(settings: Settings) -> Effect:
    """The effect of an event: the webhook of its job is called, if the job has one."""
    webhooks = Webhooks(settings)

    async def call(db: Db, delivery: Delivery) -> None:
        event = delivery.body
        if not isinstance(event, ResumeEnded):
            raise PermanentError(f"no webhook is known for {delivery.message.type}")
        row = await (
            await db.execute("SELECT webhook_url FROM resume_jobs WHERE job_id = %s", [event.jobId])
        ).fetchone()
        if row is not None and row["webhook_url"]:
            await webhooks.send(row["webhook_url"], message_id=delivery.message.message_id, body=delivery.message.body)

    return call

"""Tells users of their letters: by SMTP when configured, else by a line in the log.

Each event is sent once as long as no process dies between the mail server's acceptance and our commit; then twice,
with the same Message-ID. Two consumers with the same event wait for one another at the inbox row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from labs.errors import ConfigurationError, DependencyDown, PermanentError, TransientError
from labs.messaging.delivery import Delivery
from labs.settings import Settings
from labs.store.database import Database, Db
from labs.store.gathering import Gathering
from labs.store.inbox import record_effect, record_effects, record_given_up
from labs.systems.cover_letters.messages import CoverLetterCompleted, CoverLetterFailed
from labs.systems.cover_letters.topology import EMAIL_QUEUE

log = structlog.get_logger()

_TIMEOUT_S = 15.0

_Event = CoverLetterCompleted | CoverLetterFailed


class EmailNotifier:
    """The handler of `notifications.email`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._sender = settings.smtp_from
        self._smtp = _Smtp(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
        # Each e-mail holds a connection while it is sent: leave some to the others.
        self._sending = asyncio.Semaphore(max(1, settings.database_pool // 2))
        self._noting = Gathering(self._note)

    async def handle(self, delivery: Delivery) -> None:
        """Send the e-mail of an event, unless it was sent."""
        event = delivery.body
        if not isinstance(event, CoverLetterCompleted | CoverLetterFailed):
            raise PermanentError(f"no e-mail is known for {delivery.message.type}")
        if self._smtp is None:
            await self._noting.add((delivery.message.message_id, event))
            return
        async with self._sending, self._database.transaction() as db:
            if await record_effect(db, consumer=EMAIL_QUEUE, message_id=delivery.message.message_id):
                await self._send(self._smtp, db, event, delivery.message.message_id)

    async def _note(self, events: Sequence[tuple[str, _Event]]) -> None:
        """Without a mail server: a line in the log for each event, committed together."""
        by_id = dict(events)
        async with self._database.transaction() as db:
            for message_id in await record_effects(db, consumer=EMAIL_QUEUE, message_ids=by_id):
                _log("e-mail (no mail server)", by_id[message_id])

    async def give_up(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - the reason is in the letter
        """Record that an event went to the dead-letter queue."""
        async with self._database.connection() as db:
            await record_given_up(db, consumer=EMAIL_QUEUE, message_id=delivery.message.message_id)

    async def _send(self, smtp: _Smtp, db: Db, event: _Event, message_id: str) -> None:
        cursor = await db.execute(
            "SELECT u.email, j.cover_letter FROM cover_letter_jobs j JOIN users u ON u.id = j.user_id "
            "WHERE j.job_id = %s",
            [event.jobId],
        )
        row = await cursor.fetchone()
        if row is None or not row["email"]:
            _log("e-mail (no address)", event)
            return
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._sender, row["email"], _subject(event)
        mail["Message-ID"] = f"<{message_id}@rabbitmq-lab>"
        ready = isinstance(event, CoverLetterCompleted)
        mail.set_content(row["cover_letter"] if ready else "We have tried several times. Please send it again later.")
        await smtp.send(mail)
        _log("e-mail sent", event)


def _subject(event: _Event) -> str:
    ready = isinstance(event, CoverLetterCompleted)
    return "Your cover letter is ready" if ready else "Your cover letter could not be written"


def _log(what: str, event: _Event) -> None:
    log.info(what, user_id=event.userId, job_id=event.jobId, subject=_subject(event))


class _Smtp:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ConfigurationError("LAB_SMTP_URL must be smtp://user:password@host:587 or smtps://...")
        self._host = parts.hostname
        self._tls = parts.scheme == "smtps"
        self._port = parts.port or (465 if self._tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, mail: EmailMessage) -> None:
        try:
            await aiosmtplib.send(
                mail,
                hostname=self._host,
                port=self._port,
                use_tls=self._tls,
                username=self._user,
                password=self._password,
                timeout=_TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0].code, "refused the address") from error
        except (aiosmtplib.SMTPReadTimeoutError, aiosmtplib.SMTPServerDisconnected) as error:
            # It was there, and may even have taken the mail: holding it would send it again without end.
            raise TransientError(f"the mail server broke off: {type(error).__name__}") from error
        except (aiosmtplib.SMTPConnectError, OSError) as error:
            raise DependencyDown("the mail server doesn't answer") from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DependencyDown("the mail server refuses user or password: correct LAB_SMTP_URL") from error
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error.code, "refused the e-mail") from error
        except aiosmtplib.SMTPException as error:
            raise TransientError(f"sending failed: {type(error).__name__}") from error


def _refused(code: int, what: str) -> PermanentError | TransientError:
    """4xx means later, also for an address (greylisting); 5xx means never."""
    kind = PermanentError if code >= 500 else TransientError
    return kind(f"the mail server {what}: {code}")

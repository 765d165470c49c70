"""Tells users of their letters: by SMTP when configured, else by a line in the log.

Each event is sent once as long as no process dies between the mail server's acceptance and our commit; then twice,
with the same Message-ID.
"""

from __future__ import annotations

from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from labs.errors import ConfigurationError, DependencyDown, PermanentError, TransientError
from labs.messaging.delivery import Delivery
from labs.settings import Settings
from labs.store.database import Db
from labs.systems.cover_letters.messages import CoverLetterCompleted, CoverLetterFailed

log = structlog.get_logger()

_TIMEOUT_S = 15.0


class EmailNotifier:
    """Sends the e-mails of events."""

    def __init__(self, settings: Settings) -> None:
        self._sender = settings.smtp_from
        self._smtp = _Smtp(settings.smtp_url.get_secret_value()) if settings.smtp_url else None

    async def send(self, db: Db, delivery: Delivery) -> None:
        """Send the e-mail of an event."""
        event = delivery.body
        if not isinstance(event, CoverLetterCompleted | CoverLetterFailed):
            raise PermanentError(f"no e-mail is known for {delivery.message.type}")
        await self._send(db, event, delivery.message.message_id)

    async def _send(self, db: Db, event: CoverLetterCompleted | CoverLetterFailed, message_id: str) -> None:
        ready = isinstance(event, CoverLetterCompleted)
        subject = "Your cover letter is ready" if ready else "Your cover letter could not be written"
        cursor = await db.execute(
            "SELECT u.email, j.cover_letter FROM cover_letter_jobs j JOIN users u ON u.id = j.user_id "
            "WHERE j.job_id = %s",
            [event.jobId],
        )
        row = await cursor.fetchone()
        if self._smtp is None or row is None or not row["email"]:
            log.info("e-mail (no mail server or no address)", user_id=event.userId, job_id=event.jobId, subject=subject)
            return
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._sender, row["email"], subject
        mail["Message-ID"] = f"<{message_id}@rabbitmq-lab>"
        mail.set_content(row["cover_letter"] if ready else "We have tried several times. Please send it again later.")
        await self._smtp.send(mail)
        log.info("e-mail sent", user_id=event.userId, job_id=event.jobId, subject=subject)


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

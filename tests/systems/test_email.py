"""E-mail with a real mail server: one for each event, later if it must be, and no address or letter in a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from labs.broker import VirtualHost
from labs.errors import ConfigurationError, DependencyDown, PermanentError, TransientError
from labs.messaging.consumer import Consumer
from labs.messaging.dead_letters import redrive
from labs.messaging.delivery import ConsumerConfig
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.processes import free_ports
from labs.settings import Settings, load_settings
from labs.store.database import Database
from labs.systems.cover_letters.email import EmailNotifier
from labs.systems.cover_letters.messages import COMPLETED, EVENTS, FAILED
from labs.systems.cover_letters.topology import EMAIL_QUEUE
from labs.systems.once import Once
from tests.databases import claim, completion, count, create, jobs_of, letter
from tests.systems.deliveries import delivery, event_delivery, given_up, ready
from tests.systems.smtp_sink import SmtpSink, smtp_sink
from tests.waiting import eventually, stays
from tests.workbench import DELAYS_MS, Workbench, running, workbench_in

ADDRESS = "ada@example.org"
LETTER = "Dear ACME, Ada Lovelace has 5 years of Python."


def emails(database: Database, settings: Settings) -> Once:
    """The consumer of `notifications.email`."""
    return Once(database, queue=EMAIL_QUEUE, effect=EmailNotifier(settings).send)


@pytest.fixture
async def job_id(database: Database) -> str:
    """A completed job of a user with an address."""
    jobs = jobs_of(database)
    job_id = (await create(jobs, letter(), email=ADDRESS)).job.job_id
    await jobs.complete(await claim(jobs, job_id), result=LETTER, event=completion(job_id))
    return job_id


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with smtp_sink() as sink:
        yield sink


def configured(url: str | None) -> Settings:
    return load_settings(smtp_url=SecretStr(url) if url else None, smtp_from="Lab <lab@example.org>")


async def test_an_event_sends_the_letter_to_its_user(database: Database, job_id: str, sink: SmtpSink) -> None:
    one = event_delivery(ready(job_id), queue=EMAIL_QUEUE)
    await emails(database, configured(sink.url)).handle(one)
    (mail,) = sink.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == (
        ADDRESS,
        "Lab <lab@example.org>",
        "Your cover letter is ready",
    )
    assert mail["Message-ID"] == f"<{one.message.message_id}@rabbitmq-lab>"
    assert mail.get_content().strip() == LETTER


async def test_a_failed_job_is_told_without_a_letter(database: Database, job_id: str, sink: SmtpSink) -> None:
    event = given_up(job_id)
    await emails(database, configured(sink.url)).handle(delivery(FAILED.message(event), event, queue=EMAIL_QUEUE))
    (mail,) = sink.mails
    assert "could not be written" in mail["Subject"]
    assert LETTER not in mail.get_content()


async def test_duplicates_and_concurrency_send_one_mail(database: Database, job_id: str, sink: SmtpSink) -> None:
    one = event_delivery(ready(job_id), queue=EMAIL_QUEUE)
    first, second = (emails(database, configured(sink.url)) for _ in range(2))
    await asyncio.gather(*(each.handle(one) for each in (first, second) for _ in range(4)))
    await first.handle(one)
    assert len(sink.mails) == 1


async def test_user_and_password_of_the_url_are_used(database: Database, job_id: str, sink: SmtpSink) -> None:
    url = sink.url.replace("//", "//lab:p%40ss@")
    await emails(database, configured(url)).handle(event_delivery(ready(job_id), queue=EMAIL_QUEUE))
    assert len(sink.mails) == 1
    sink.replies["AUTH"] = ["535 no"] * 3
    # A wrong password is nothing that the message can help: it is held, not buried.
    with pytest.raises(DependencyDown, match="LAB_SMTP_URL"):
        await emails(database, configured(url)).handle(event_delivery(ready(job_id), queue=EMAIL_QUEUE))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("MAIL: 451 later", TransientError),
        ("RCPT: 450 greylisted", TransientError),
        ("DATA: 452 full", TransientError),
        ("MAIL: 554 never", PermanentError),
        ("RCPT: 550 no such user", PermanentError),
    ],
)
async def test_4xx_means_later_and_5xx_never(
    database: Database, job_id: str, sink: SmtpSink, answer: str, error: type[Exception]
) -> None:
    one = event_delivery(ready(job_id), queue=EMAIL_QUEUE)
    notifier = emails(database, configured(sink.url))
    verb, reply = answer.split(": ")
    sink.replies[verb] = [reply]
    with pytest.raises(error) as caught:
        await notifier.handle(one)
    assert ADDRESS not in str(caught.value)
    # Nothing counts as done, so the next attempt sends it.
    assert await count(database, "inbox", "consumer = 'notifications.email'") == 0
    await notifier.handle(one)
    assert len(sink.mails) == 1


async def test_a_refused_connection_is_a_dependency_that_is_down(database: Database, job_id: str) -> None:
    notifier = emails(database, configured("smtp://127.0.0.1:1"))
    with pytest.raises(DependencyDown, match="doesn't answer"):
        await notifier.handle(event_delivery(ready(job_id), queue=EMAIL_QUEUE))
    assert await count(database, "inbox", "consumer = 'notifications.email'") == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1", "smtp://", "nonsense"])
async def test_what_is_no_mail_servers_url_is_a_configuration_error(database: Database, url: str) -> None:
    with pytest.raises(ConfigurationError, match="LAB_SMTP_URL"):
        emails(database, configured(url))


@pytest.mark.parametrize("case", ["no mail server", "mail sent", "no address"])
async def test_the_log_says_what_was_done_without_address_or_letter(
    database: Database, job_id: str, sink: SmtpSink, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    if case == "no address":
        job_id = (await create(jobs_of(database), letter(user_id=2), email=None)).job.job_id
    notifier = emails(database, configured(None if case == "no mail server" else sink.url))
    await notifier.handle(event_delivery(ready(job_id), queue=EMAIL_QUEUE))
    logged = "".join(capsys.readouterr())
    assert ("e-mail sent" in logged) == (case == "mail sent")
    assert job_id in logged
    assert ADDRESS not in logged
    assert "Lovelace" not in logged
    assert len(sink.mails) == (case == "mail sent")
    assert await count(database, "inbox", "consumer = 'notifications.email'") == 1


@asynccontextmanager
async def consuming(vhost: VirtualHost, notifier: Once) -> AsyncIterator[tuple[Workbench, Publisher, Consumer]]:
    """The notifier behind a real consumer."""
    bench = workbench_in(vhost)
    config = ConsumerConfig(bench.queue, bench.topology, EVENTS, RetryPolicy(DELAYS_MS), prefetch=10)
    async with bench.publisher() as publisher:
        consumer = Consumer(
            bench.url, config, notifier.handle, publisher=publisher, name="email", on_dead_letter=notifier.give_up
        )
        async with running(consumer):
            yield bench, publisher, consumer


async def test_a_mail_server_that_says_later_is_asked_again_and_sends_one(
    database: Database, job_id: str, sink: SmtpSink, systems_vhost: VirtualHost
) -> None:
    # Given an event that is delivered three times, and a mail server that is not ready twice,
    message = COMPLETED.message(ready(job_id))
    sink.replies["RCPT"] = ["450 greylisted"] * 2
    async with consuming(systems_vhost, emails(database, configured(sink.url))) as (bench, publisher, consumer):
        await bench.send(publisher, message, message, message)
        # then two of the deliveries are tried again, and one mail was sent.
        await eventually(lambda: consumer.statistics.acknowledged == 3 + 2)
        assert consumer.statistics.retried == 2
    assert len(sink.mails) == 1


async def test_a_mail_server_that_is_away_holds_the_event_and_burns_no_attempt(
    database: Database, job_id: str, systems_vhost: VirtualHost
) -> None:
    (port,) = free_ports(1, seed=job_id)
    notifier = emails(database, configured(f"smtp://127.0.0.1:{port}"))
    async with consuming(systems_vhost, notifier) as (bench, publisher, consumer):
        await bench.send(publisher, COMPLETED.message(ready(job_id)))
        await eventually(lambda: consumer.in_hand == 1)
        await stays(lambda: consumer.in_hand == 1, for_s=0.3)
        async with smtp_sink(port=port) as sink:
            await eventually(lambda: consumer.statistics.acknowledged == 1)
        assert (consumer.statistics.retried, consumer.statistics.dead_lettered) == (0, 0)
    assert len(sink.mails) == 1


async def test_an_address_that_is_refused_for_good_is_a_dead_letter_and_settled(
    database: Database, job_id: str, sink: SmtpSink, systems_vhost: VirtualHost
) -> None:
    sink.replies["RCPT"] = ["550 no such user"]
    async with consuming(systems_vhost, emails(database, configured(sink.url))) as (bench, publisher, consumer):
        await bench.send(publisher, COMPLETED.message(ready(job_id)))
        await eventually(lambda: consumer.statistics.acknowledged == 1)
        (dead,) = await bench.letters(1)
        assert dead.reason == "PermanentError: the mail server refused the address: 550"
        assert await count(database, "inbox", "consumer = 'notifications.email' AND outcome = 'dead'") == 1
        # An operator who has corrected the address sends it back.
        await redrive(bench.url, bench.dlq, publisher=publisher)
        await eventually(lambda: len(sink.mails) == 1)

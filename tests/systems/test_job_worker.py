"""The job worker: one effect per job, whoever dies, fails, or comes twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from labs.broker import VirtualHost
from labs.errors import Deferred, ModelFailed, PermanentError
from labs.messaging.consumer import Consumer
from labs.messaging.dead_letters import redrive
from labs.messaging.delivery import ConsumerConfig, Delivery
from labs.messaging.message import Message
from labs.messaging.publisher import Publisher
from labs.messaging.retry import RetryPolicy
from labs.store.database import Database
from labs.store.hints import Ringer
from labs.store.jobs import Job, Jobs, JobStatus
from labs.store.leases import LeaseKeeper
from labs.systems.cover_letters.jobs import completed, failed
from labs.systems.cover_letters.messages import COMMANDS, GENERATE, GenerateCoverLetter
from labs.systems.finish import Committed, Work
from labs.systems.job_worker import JobSystem, JobWorker
from tests.databases import claim, count, create, jobs_of, letter, rows
from tests.systems.deliveries import delivery
from tests.waiting import eventually, stays
from tests.workbench import DELAYS_MS, Workbench, running, workbench_in

Perform = Callable[[GenerateCoverLetter], Awaitable[Work]]


async def write(body: GenerateCoverLetter) -> Work:
    return Work(f"Dear reader of {body.jobId}", {"model": "test"})


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return jobs_of(database)


def worker(
    database: Database, perform: Perform = write, *, lease_s: float = 30.0, max_crashes: int = 3, name: str = "w1"
) -> JobWorker[GenerateCoverLetter]:
    jobs = jobs_of(database)
    return JobWorker(
        jobs,
        JobSystem(
            name="cover_letters",
            job_id=lambda body: body.jobId,
            perform=perform,
            finish=Committed(jobs, lambda body: body.jobId, completed, failed),
        ),
        name=name,
        keeper=LeaseKeeper(jobs, lease_s=lease_s),
        ringer=Ringer(database),
        lease_s=lease_s,
        max_crashes=max_crashes,
    )


async def new_job(jobs: Jobs) -> tuple[str, Delivery]:
    """A committed job, and the delivery of its message."""
    body = letter()
    await create(jobs, body)
    return body.jobId, delivery(GENERATE.message(body, correlation_id=body.jobId), body)


async def job(jobs: Jobs, job_id: str) -> Job:
    return await jobs.get(job_id, user_id=1)


async def crash(jobs: Jobs, database: Database, job_id: str, *, times: int) -> None:
    """So many workers die on a job."""
    for crashes in range(times):
        await claim(jobs, job_id, lease_s=0.0, worker="dead", allowed_crashes=crashes)
        await jobs.claim(job_id, lease_s=1, worker="finder")
    assert (await rows(database, "SELECT crashes FROM cover_letter_jobs"))[0]["crashes"] == times


async def test_a_delivery_completes_its_job_and_its_event_waits_for_the_relay(database: Database, jobs: Jobs) -> None:
    job_id, one = await new_job(jobs)
    await worker(database).handle(one)
    done = await job(jobs, job_id)
    assert (done.status, done.result, done.attempts) == (JobStatus.COMPLETED, f"Dear reader of {job_id}", 1)
    assert await count(database, "outbox", "type = 'cover-letter.completed' AND correlation_id = %s", job_id) == 1
    steps = {step.step: step for step in await jobs.history(job_id)}
    assert steps["processing"].detail["queue"] == "cover-letter.generate"
    assert steps["completed"].detail == {"model": "test"}


async def test_a_duplicate_of_an_ended_job_does_nothing(database: Database, jobs: Jobs) -> None:
    calls = []

    async def counted(body: GenerateCoverLetter) -> Work:
        calls.append(body.jobId)
        return await write(body)

    job_id, one = await new_job(jobs)
    for _ in range(3):
        await worker(database, counted).handle(one)
    assert calls == [job_id]
    assert await count(database, "outbox", "type = 'cover-letter.completed'") == 1


async def test_of_many_deliveries_at_once_one_works_and_the_others_come_back_later(
    database: Database, jobs: Jobs
) -> None:
    started, finish = 0, asyncio.Event()

    async def slow(body: GenerateCoverLetter) -> Work:
        nonlocal started
        started += 1
        await finish.wait()
        return await write(body)

    _, one = await new_job(jobs)
    tasks = [asyncio.create_task(worker(database, slow, name=f"w{n}").handle(one)) for n in range(8)]
    await eventually(lambda: sum(task.done() for task in tasks) == 7)
    finish.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    deferred = [outcome for outcome in outcomes if isinstance(outcome, Deferred)]
    assert (len(deferred), started) == (7, 1)
    assert all(0.5 <= each.delay_s <= 5 for each in deferred)


async def test_who_stood_still_until_his_claim_ran_out_begins_nothing(
    database: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process that is frozen while the database answers its claim
    job_id, one = await new_job(jobs)
    claiming = Jobs.claim

    async def late(*arguments: object, **options: object) -> object:
        claimed = await claiming(*arguments, **options)  # type: ignore[arg-type]
        await eventually(ran_out)
        return claimed

    async def ran_out() -> bool:
        return await count(database, "cover_letter_jobs", "lease_until < clock_timestamp()") == 1

    monkeypatch.setattr(Jobs, "claim", late)
    asked: list[str] = []

    async def counted(body: GenerateCoverLetter) -> Work:
        asked.append(body.jobId)
        return await write(body)

    # When it goes on after its lease, then it does not begin, and gives the job back
    with pytest.raises(Deferred):
        await worker(database, counted, lease_s=0.2).handle(one)
    assert asked == []
    monkeypatch.undo()
    await worker(database, counted).handle(one)
    assert (await job(jobs, job_id)).status == JobStatus.COMPLETED
    assert asked == [job_id]


async def test_a_failure_gives_the_job_back_at_once(database: Database, jobs: Jobs) -> None:
    answers = iter([ModelFailed("the model is busy"), None])

    async def flaky(body: GenerateCoverLetter) -> Work:
        error = next(answers)
        if error:
            raise error
        return await write(body)

    job_id, one = await new_job(jobs)
    handler = worker(database, flaky)
    with pytest.raises(ModelFailed):
        await handler.handle(one)
    assert (await job(jobs, job_id)).status is JobStatus.PROCESSING
    # The next attempt needn't wait for a lease, and nobody has died.
    await handler.handle(one)
    done = await job(jobs, job_id)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 2)
    assert (await rows(database, "SELECT crashes FROM cover_letter_jobs"))[0]["crashes"] == 0


async def test_texts_of_unexpected_errors_are_not_kept(
    database: Database, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(body: GenerateCoverLetter) -> Work:
        raise ValueError(body.cvText)

    job_id, one = await new_job(jobs)
    with pytest.raises(ValueError, match="Lovelace"):
        await worker(database, broken).handle(one)
    assert (await jobs.history(job_id))[-1].detail == {"error": "ValueError"}
    assert (await job(jobs, job_id)).error_message == "ValueError"
    assert "Lovelace" not in "".join(capsys.readouterr())


async def test_a_cancelled_worker_gives_its_job_back(database: Database, jobs: Jobs) -> None:
    started = asyncio.Event()

    async def endless(body: GenerateCoverLetter) -> Work:
        started.set()
        await asyncio.Event().wait()
        return await write(body)

    job_id, one = await new_job(jobs)
    task = asyncio.create_task(worker(database, endless).handle(one))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await worker(database).handle(one)
    assert (await job(jobs, job_id)).status is JobStatus.COMPLETED


async def test_a_result_that_comes_too_late_is_discarded_quietly(
    database: Database, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, one = await new_job(jobs)

    async def overtaken(body: GenerateCoverLetter) -> Work:
        # Given a worker that is stopped for longer than its lease, while another completes the job,
        await rows(database, "UPDATE cover_letter_jobs SET lease_until = now() - interval '1 s'")
        await worker(database, name="w2").handle(one)
        return Work("too late")

    await worker(database, overtaken).handle(one)
    assert (await job(jobs, job_id)).result == f"Dear reader of {job_id}"
    assert await count(database, "outbox", "type = 'cover-letter.completed'") == 1
    assert "result discarded" in "".join(capsys.readouterr())


async def test_a_job_whose_worker_died_is_done_by_the_next(database: Database, jobs: Jobs) -> None:
    job_id, one = await new_job(jobs)
    await claim(jobs, job_id, lease_s=0.0, worker="dead")
    await worker(database).handle(one)
    assert [step.step for step in await jobs.history(job_id)] == [
        "pending",
        "processing",
        "lease expired",
        "processing",
        "completed",
    ]


async def test_a_job_that_kills_its_workers_is_given_up(database: Database, jobs: Jobs) -> None:
    job_id, one = await new_job(jobs)
    await crash(jobs, database, job_id, times=3)
    handler = worker(database, max_crashes=3)
    # Three deaths are allowed for: it gets one more try,
    await claim(jobs, job_id, lease_s=0.0, worker="dead", allowed_crashes=3)
    # and after the fourth it is over.
    with pytest.raises(PermanentError, match="4 workers died on it") as caught:
        await handler.handle(one)
    await handler.give_up(one, str(caught.value))
    ended = await job(jobs, job_id)
    assert (ended.status, ended.error_message) == (JobStatus.FAILED, "given up: 4 workers died on it")
    assert await count(database, "outbox", "type = 'cover-letter.failed'") == 1


async def test_suspects_run_one_by_one_in_the_end(database: Database, jobs: Jobs) -> None:
    running_now, most = 0, 0

    async def watched(body: GenerateCoverLetter) -> Work:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await stays(lambda: running_now == 1, for_s=0.02)
        running_now -= 1
        return await write(body)

    made = [await new_job(jobs) for _ in range(6)]
    await rows(
        database, "UPDATE cover_letter_jobs SET status = 'processing', crashes = 3, lease_until = NULL, fence = 3"
    )
    handler = worker(database, watched, max_crashes=5)
    await asyncio.gather(*(handler.handle(one) for _, one in made))
    assert most == 1
    assert await count(database, "cover_letter_jobs", "status = 'completed'") == 6


async def test_a_result_waits_for_a_database_that_is_away(
    database: Database, jobs: Jobs, systems_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, one = await new_job(jobs)
    said, calls, outage = "", 0, contextlib.AsyncExitStack()

    async def expensive(body: GenerateCoverLetter) -> Work:
        nonlocal calls
        calls += 1
        # Given a database that can't be reached from when the model has written,
        await outage.enter_async_context(small.connection())
        return await write(body)

    def held() -> bool:
        nonlocal said
        said += "".join(capsys.readouterr())
        return said.count("holding a result") >= 2

    async with Database(systems_database_url, name="small", pool=1, timeout_s=1.0) as small:
        await small.wait_until_up(timeout_s=30)
        task = asyncio.create_task(worker(small, expensive).handle(one))
        await eventually(held)
        assert (await job(jobs, job_id)).status is JobStatus.PROCESSING
        # when it is back, then the letter that was paid for is committed.
        await outage.aclose()
        await task
    assert ((await job(jobs, job_id)).status, calls) == (JobStatus.COMPLETED, 1)


@contextlib.asynccontextmanager
async def consuming(
    vhost: VirtualHost, handler: JobWorker[GenerateCoverLetter], *, deliver: list[Message]
) -> AsyncIterator[tuple[Workbench, Publisher, Consumer]]:
    """The worker behind a real consumer, with these messages in its queue."""
    bench = workbench_in(vhost)
    config = ConsumerConfig(bench.queue, bench.topology, COMMANDS, RetryPolicy(DELAYS_MS), prefetch=20)
    async with bench.publisher() as publisher:
        await bench.send(publisher, *deliver)
        consumer = Consumer(
            bench.url, config, handler.handle, publisher=publisher, name="letters", on_dead_letter=handler.give_up
        )
        async with running(consumer):
            yield bench, publisher, consumer


async def test_attempts_used_up_fail_the_job_and_a_redrive_completes_it(
    database: Database, jobs: Jobs, systems_vhost: VirtualHost
) -> None:
    broken = True

    async def busy(body: GenerateCoverLetter) -> Work:
        if broken:
            raise ModelFailed("the model is busy")
        return await write(body)

    job_id, one = await new_job(jobs)

    async def has(status: JobStatus) -> bool:
        return (await job(jobs, job_id)).status is status

    handler = worker(database, busy)
    async with consuming(systems_vhost, handler, deliver=[one.message]) as (bench, publisher, _):
        await eventually(lambda: has(JobStatus.FAILED))
        ended = await job(jobs, job_id)
        assert (ended.attempts, ended.error_code) == (4, "ModelFailed")
        assert ended.error_message == "ModelFailed: the model is busy"
        broken = False
        await redrive(bench.url, bench.dlq, publisher=publisher)
        await eventually(lambda: has(JobStatus.COMPLETED))
    assert (await job(jobs, job_id)).error_code is None
    assert await count(database, "outbox", "type = 'cover-letter.completed'") == 1


async def test_many_jobs_each_delivered_twice_complete_once(
    database: Database, jobs: Jobs, systems_vhost: VirtualHost
) -> None:
    made = [await new_job(jobs) for _ in range(30)]
    messages = [one.message for _, one in made]
    async with consuming(systems_vhost, worker(database), deliver=messages + messages) as (_, _, consumer):
        await eventually(lambda: consumer.statistics.acknowledged == 60 + consumer.statistics.deferred)
    assert await count(database, "cover_letter_jobs", "status = 'completed'") == 30
    assert await count(database, "outbox", "type = 'cover-letter.completed'") == 30
    assert await count(database, "job_history", "step = 'completed'") == 30

"""Trials of workers with jobs: a status only goes forwards, and a job has one result, or none if it was cancelled."""

from __future__ import annotations

import signal

from labs.trial import operations as op
from labs.trial.bench import AT, COMMITTED_AT
from labs.trial.exercises.stage import ProgramFailed, Stage
from labs.trial.history import Ids
from labs.trial.site import clock_offset_ns, monotonic_ns

_SCHEMA = f"""
CREATE TABLE jobs (id text PRIMARY KEY, status text NOT NULL DEFAULT 'pending', claim integer NOT NULL DEFAULT 0,
                   lease_until timestamptz, result text);
CREATE TABLE audit (n bigint GENERATED ALWAYS AS IDENTITY, job text, status text, claim integer, {AT});
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit (job, status, claim) VALUES (NEW.id, NEW.status, NEW.claim); RETURN NEW; END $$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OF status ON jobs FOR EACH ROW EXECUTE FUNCTION audited();
"""
#: The learner's lease is a second; what it holds is free after that.
_LEASE_OVER_S = 1.3
_TRIES = 20
#: A worker that is seen with nothing for so long has nothing.
_IDLE_S = 0.5
_OF = "SELECT id FROM jobs WHERE status = '{status}'"
_AUDIT = f"SELECT job, status, claim, {COMMITTED_AT} FROM audit ORDER BY n"


def cover_letters(stage: Stage) -> None:
    """A frozen worker loses its job to another one and comes back late; a second one is killed."""
    bench, queue = stage.bench, "letters"
    _begin(stage, queue)
    _create(stage, queue, range(1, stage.random.randint(9, 12)))
    bench.publish({"job-2": b"{}"}, key=queue, mark=False)  # its relay saw no confirm in time
    stage.until(lambda: bool(_held(stage, "worker-1")))
    with stage.fault("worker-1 is frozen until its lease has run out"):
        held = _frozen_at_work(stage, "worker-1", queue)
        stage.until(lambda: False, timeout_s=_LEASE_OVER_S)
        bench.publish(dict.fromkeys(sorted(held), b"{}"), key=queue, mark=False)  # a reconciler takes them up again
        stage.until(lambda: held <= _jobs(stage, op.COMPLETED), timeout_s=3)
        bench.processes["worker-1"].send_signal(signal.SIGCONT)
    before = bench.times(op.DELIVER, process="worker-2")
    _create(stage, queue, range(20, 26))
    stage.kill("worker-2", after=op.DELIVER, times=before + stage.random.randint(1, 2))
    stage.start("worker-3")
    _finish(stage, queue)


def resumes(stage: Stage) -> None:
    """Users cancel jobs, waiting ones and such that a worker is busy with; a worker is killed."""
    queue = "resumes"
    _begin(stage, queue)
    _create(stage, queue, range(1, 25))
    with stage.fault("users cancel jobs"):
        for _ in range(stage.random.randint(3, 5)):
            stage.until(lambda: bool(_jobs(stage, op.PROCESSING)))
            _cancel(stage, op.PROCESSING)
            _cancel(stage, op.PENDING)
    stage.kill("worker-1", after=op.SETTLE, times=stage.random.randint(3, 6))
    stage.start("worker-3")
    _finish(stage, queue)


def _begin(stage: Stage, queue: str) -> None:
    stage.bench.database.execute(_SCHEMA.encode())
    with stage.bench.channel() as channel:
        channel.queue_declare(queue, durable=True)
    stage.say("2 of your programs start")
    stage.start("worker-1", "worker-2")
    stage.ready(queue, consumers=2)


def _create(stage: Stage, queue: str, numbers: range) -> None:
    """Each job with its message, which has the same id."""
    for job in (f"job-{number}" for number in numbers):
        ids = Ids(request=job, job=job, message=job, queue=queue)
        stage.bench.history.add("client", "invoke", op.SUBMIT, ids)
        stage.bench.database.execute("INSERT INTO jobs (id) VALUES (%s)", [job])
        stage.bench.history.add("client", "ok", op.SUBMIT, ids)
        stage.bench.history.add("database", "ok", op.ROW, ids)
        stage.bench.history.add("database", "ok", op.OUTBOX, ids, value=op.REQUEST)
        stage.bench.publish({job: b"{}"}, key=queue)


def _cancel(stage: Stage, status: str) -> None:
    """One job of that status, as the API does it."""
    query = (
        "UPDATE jobs SET status = 'cancelled' WHERE id = (SELECT max(id) FROM jobs WHERE status = %s) AND status = %s"
    )
    stage.bench.database.execute(query, [status, status])


def _jobs(stage: Stage, status: str) -> set[str]:
    return {str(row[0]) for row in stage.bench.database.execute(_OF.format(status=status).encode()).fetchall()}


def _held(stage: Stage, worker: str) -> set[str]:
    """The jobs that a worker is busy with, whether it has acked them or not."""
    events = list(stage.bench.history.events)
    given = {event.message for event in events if event.operation == op.DELIVER and event.process == worker}
    return given & _jobs(stage, op.PROCESSING)


def _frozen_at_work(stage: Stage, worker: str, queue: str) -> set[str]:
    """Freeze a worker that is busy; returns the jobs that it holds. One that was just done with them goes on.

    On a machine that stands still for a while all jobs may be done before anybody looks: then there are more.
    """
    process = stage.bench.processes[worker]
    for more in range(100, 100 + 2 * _TRIES, 2):
        if not stage.until(lambda: bool(_held(stage, worker)), timeout_s=_IDLE_S):
            _create(stage, queue, range(more, more + 2))
            continue
        process.send_signal(signal.SIGSTOP)
        if held := _held(stage, worker):
            return held
        process.send_signal(signal.SIGCONT)
    raise ProgramFailed(
        f"{worker} was never seen with a job that is processing, and so it could not be frozen at work."
    )


def _finish(stage: Stage, queue: str) -> None:
    bench = stage.bench

    def all_done() -> bool:
        open_jobs = _jobs(stage, op.PENDING) | _jobs(stage, op.PROCESSING)
        settled = bench.messages(op.MARK) <= bench.messages(op.SETTLE)
        return not open_jobs and settled and bench.depth(queue).consumers == 2

    stage.finish(all_done, queues=[queue])
    offset_ns = clock_offset_ns()
    ended: set[str] = set()
    for job, status, claim, at in bench.database.execute(_AUDIT.encode()):
        at_ns = monotonic_ns(at, offset_ns=offset_ns)
        bench.history.add("database", "ok", op.STATUS, Ids(job=job, attempt=claim), at_ns=at_ns, value=status)
        if status in op.TERMINAL and job not in ended:
            ended.add(job)
            effect = Ids(job=job, message=job, queue=queue)
            bench.history.add("database", "ok", op.EFFECT, effect, at_ns=at_ns, value=op.DONE)

"""What is broken on purpose, chapter by chapter: every lesson must notice that its pattern no longer keeps its word."""

from __future__ import annotations

from tests.notebook.mutation import Mutant


def _drills(*numbers: int) -> tuple[str, ...]:
    """The cells of these drills in the chapter on failure drills."""
    cells = ("drill_{} = await", "guess = drill_{}.question", "guess.reveal(drill_{}.", "drill_{}.report")
    return tuple(cell.format(number) for number in numbers for cell in cells)


#: The cells of the chapter on capacity that only its first figures need.
_CREWS = (
    "eager = Crew(lab",
    "min(service_ms.values())",
    "loads = {percent: Crew(",
    "busy = {percent: busy_share(",
    "at 90 % a job takes",
    "crew.train(7)",
    "history = over_time(",
    "grew = waited_ms(1, 2)",
)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        chapter="00_start",
        file="labs/broker/depth.py",
        old="return Depth(messages=answer.message_count,",
        new="return Depth(messages=answer.message_count + 1,",
        told_by='kept = lab.vhost.depth("inbox").messages',
    ),
    Mutant(
        chapter="01_work_queues",
        file="labs/patterns/work_queue.py",
        old="channel.basic_consume(queue, on_delivery)",
        new="channel.basic_consume(queue, lambda *delivery: do(delivery[-1]), auto_ack=True)",
        told_by="saved_manual = done_by_another",
    ),
    Mutant(
        chapter="01_work_queues",
        file="labs/patterns/work_queue.py",
        old="channel.basic_qos(prefetch_count=prefetch)",
        new="channel.basic_qos(prefetch_count=0)",
        told_by='print("prefetch 1, nobody has over half',
    ),
    Mutant(
        chapter="02_publish_subscribe",
        file="labs/patterns/pub_sub.py",
        old="        handle(event)\n        channel.basic_ack(method.delivery_tag)\n",
        new="        channel.basic_ack(method.delivery_tag)\n        handle(event)\n",
        told_by='story.is_killed("mailer", "dashboard")',
    ),
    Mutant(
        chapter="03_routing_and_topics",
        file="labs/patterns/routing.py",
        old='{"alternate-exchange": alternate}',
        new='{"alternate": alternate}',
        told_by="fate(channel, exchange, mandatory=mandatory",
    ),
    Mutant(
        chapter="04_confirms_and_returns",
        file="labs/patterns/confirms_async.py",
        old="        self._under_way[self._last_tag] = message_id, answer\n",
        new=(
            "        self._under_way[self._last_tag] = message_id, asyncio.Future()\n"
            "        answer.set_result(CONFIRMED)\n"
        ),
        told_by='print("confirmed, but gone after the restart:"',
    ),
    Mutant(
        chapter="04_confirms_and_returns",
        file="labs/patterns/confirms.py",
        old="body, properties, mandatory=True)",
        new="body, properties)",
        told_by="publishes with mandatory=True",
        without=(
            "knowing = lab.program(publish_confirmed",
            "confirmed, unknown = set(broken",
            'grid(list(said), ["in the queue"',
            'started_s = knowing.of("progress")',
            "again = {name: name.encode()",
            "killed, noticed, back, repaired =",
            "source(confirms.publish, publish_in_batches",
            "timings = {",
            "{way: timing.latencies_ms",
            "slow, batched, windowed =",
            "windows = {1: 100",
            "published_s = time.monotonic()",
            "consumer = lab.program(consume_one",
        ),
    ),
    Mutant(
        chapter="05_rpc",
        file="labs/patterns/rpc.py",
        old="        if properties.correlation_id == self._asked and self._answer is None:\n",
        new="        if self._answer is None:\n",
        told_by='print("asked for pears:"',
    ),
    Mutant(
        chapter="05_rpc",
        file="labs/patterns/rpc.py",
        old=', expiration=f"{timeout_s * 1000:.0f}")',
        new=")",
        told_by='print("the question expired with our patience:"',
    ),
    Mutant(
        chapter="06_retries_and_dead_letters",
        file="labs/patterns/retry_dlq.py",
        old="attempt=attempt + 1)",
        new="attempt=attempt)",
        told_by="waited at least",
    ),
    Mutant(
        chapter="06_retries_and_dead_letters",
        file="labs/patterns/retry_dlq.py",
        old="    method, properties, body = delivery\n",
        new=(
            "    method, properties, body = delivery\n"
            "    incoming.basic_ack(method.delivery_tag)\n"
            "    incoming = type('Deaf', (), {'basic_ack': str})\n"
        ),
        told_by="copies of the order",
    ),
    Mutant(
        chapter="07_idempotent_consumers",
        file="labs/patterns/idempotent.py",
        old="        if is_new:\n",
        new="        if is_new or consumer:\n",
        told_by='print("always once:", *perfect)',
    ),
    Mutant(
        chapter="08_outbox",
        file="labs/patterns/outbox.py",
        old="    channel.confirm_delivery()\n",
        new="",
        told_by='print("still waiting in the outbox:"',
    ),
    Mutant(
        chapter="08_outbox",
        file="labs/patterns/outbox.py",
        old="                channel.basic_publish(",
        new=(
            '                db.execute("UPDATE outbox SET published_at = now() WHERE id = %s", [row_id])\n'
            "                channel.basic_publish("
        ),
        told_by='print("still waiting in the outbox:"',
    ),
    Mutant(
        chapter="09_cover_letter_system",
        file="labs/store/statements.py",
        old="AND (status = 'pending' OR (status = 'processing' AND lease_until IS NULL))",
        new="AND status <> 'failed'",
        told_by="await deliver_again(lab",
    ),
    Mutant(
        chapter="10_load_testing",
        file="loadtest/engine/consumption.py",
        old='(came_ns - stamps["intended_ns"])[warm]',
        new='(came_ns - stamps["sent_ns"])[warm]',
        told_by="p99 from the intended time, more than half",
    ),
    Mutant(
        chapter="10_load_testing",
        file="loadtest/engine/histogram.py",
        old="        self.counts += other.counts\n",
        new="        self.counts = other.counts\n",
        told_by='print("merged: right to 1 %:"',
    ),
    Mutant(
        chapter="11_capacity",
        file="loadtest/engine/working.py",
        old="            self._account.worked_s += now_s - before_s\n",
        new="",
        told_by='"worker-bound" in said',
        without=(
            *_CREWS,
            "broker_says = lab.program(watch",
            "had_to_wait = sum(",
            "measured[workers] = rates_of(",
            "law = fit(measured)",
            "worst = {n: n /",
            "at_best = {workers",
            "needed = fewest(",
            "held = needed.enough",
            "found = search(step, goal)",
            "plot_capacity(found",
            "the interval has two sides",
        ),
    ),
    Mutant(
        chapter="11_capacity",
        file="labs/notebook/experiments/capacity.py",
        # All of the work under the lock: what no machine, however slow, can make look like the lesson
        old=(
            '        time.sleep((job["work_ms"] - job["shared_ms"]) / 1000)\n'
            '        if job["shared_ms"]:\n'
            "            with alone(lock):\n"
            '                time.sleep(job["shared_ms"] / 1000)\n'
        ),
        new=('        with alone(lock):\n            time.sleep(job["work_ms"] / 1000)\n'),
        told_by='print("two do over 1.3 times as much as one:"',
        without=_CREWS,
    ),
    Mutant(
        chapter="12_failure_drills",
        file="labs/store/outbox.py",
        old="power(2, LEAST(publishes - 1, 12))",
        new="power(2, LEAST(publishes + 11, 12))",
        told_by="drill_3.verdict",
        without=_drills(1, 2),
    ),
    Mutant(
        chapter="12_failure_drills",
        file="labs/store/statements.py",
        old="""                FROM {moment}
                WHERE job_id = %(job_id)s AND fence = %(fence)s AND status = 'processing'
""",
        new="""                FROM {moment}
                WHERE job_id = %(job_id)s
""",
        told_by="drill_7.verdict",
        without=_drills(1, 2, 3, 4, 5, 6),
    ),
    Mutant(
        chapter="13_mock_interview",
        file="labs/patterns/routing.py",
        old="channel.queue_bind(queue, exchange, key,",
        new="channel.queue_bind(queue, exchange, 'order',",
        told_by="second.mark(2)",
    ),
    Mutant(
        chapter="14_resumes",
        file="labs/systems/enhancement.py",
        old='            log.warning("going on without the model", job_id=job_id, reason=str(error))\n',
        new="            raise\n",
        told_by='print("the model was asked:"',
    ),
    Mutant(
        chapter="14_resumes",
        file="labs/systems/reported.py",
        old="        except LeaseLost:\n            await self.refused(self.job_id(body))\n            raise\n",
        new="        except LeaseLost:\n            raise\n",
        told_by='print("pages kept:"',
    ),
    Mutant(
        chapter="14_resumes",
        file="labs/systems/webhooks.py",
        old='timestamp.encode() + b"." + body',
        new="body",
        told_by='print("both are signed:"',
    ),
    Mutant(
        chapter="15_documents",
        file="labs/systems/search.py",
        old="WHERE document_search.version < EXCLUDED.version",
        new="WHERE document_search.version <> EXCLUDED.version",
        told_by='print("the system\'s ends with version"',
    ),
    Mutant(
        chapter="15_documents",
        file="labs/messaging/dead_letters.py",
        old="exchange=DEFAULT_EXCHANGE, routing_key=letter.source)",
        new='exchange="bookspace.events", routing_key=letter.source)',
        told_by='print("sent back:", len(done.matched), "to"',
    ),
    Mutant(
        chapter="16_peers",
        file="labs/systems/peers/collaboration.py",
        old='            if (request.sequence, digest) == (row["last_sequence"], row["last_hash"]):',
        new='            if request.sequence <= row["last_sequence"] - 1:',
        told_by="change 26:",
    ),
    Mutant(
        chapter="16_peers",
        file="labs/systems/peers/topology.py",
        old='f"session.{session_id}.*"),',
        new='"session.#"),',
        told_by="changes of {",
    ),
    Mutant(
        chapter="16_peers",
        file="labs/messaging/client/pool.py",
        old="loop.call_later(self._idle_s, self._retire,",
        new="loop.call_later(0, self._retire,",
        told_by="pooled - kept",
    ),
)

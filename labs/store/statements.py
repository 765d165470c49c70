"""The SQL of the job state machine, said once for every table of jobs: each statement is one atomic step.

Only names that this program wrote are put into the texts; values travel as parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from labs.store import outbox


@dataclass(frozen=True)
class JobTable:
    """Where the jobs of one system are.

    Args:
        name: of the table.
        queue: whose consumer works on them: the name under which effects are recorded.
        inputs: columns that a request fills.
        result: column of the result.
        metadata: column of what is known of a job besides, if there is one; a result may add to it.
    """

    name: str
    queue: str
    inputs: tuple[str, ...]
    result: str
    metadata: str | None = None


class Statements:
    """The SQL of one table; only names that this program wrote are put into it."""

    def __init__(self, table: JobTable) -> None:
        name, result, inputs = table.name, table.result, ", ".join(table.inputs)
        values = ", ".join(f"%({column})s" for column in table.inputs)
        columns = (
            f"job_id, user_id, status, attempts, {result}::text AS result, {table.metadata or 'NULL'} AS metadata, "
            "error_code, error_message, "
            "created_at, updated_at, completed_at, request_hash"
        )
        # Read once: two readings of the clock in one statement may differ, in any order.
        moment = "(SELECT clock_timestamp() AS at) AS moment"
        publish = f"INSERT INTO outbox ({outbox.INSERT_COLUMNS}) SELECT {outbox.INSERT_VALUES} FROM job"
        self.create = f"""
            WITH owner AS (
                INSERT INTO users (id, email) VALUES (%(user_id)s, %(email)s)
                ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email
                WHERE EXCLUDED.email IS NOT NULL AND users.email IS DISTINCT FROM EXCLUDED.email),
            job AS (
                INSERT INTO {name} (job_id, user_id, message_id, idempotency_key, request_hash, {inputs})
                VALUES (%(job_id)s, %(user_id)s, %(o_message_id)s, %(key)s, %(hash)s, {values})
                ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
                RETURNING {columns}),
            message AS ({publish}),
            step AS (INSERT INTO job_history (job_id, step) SELECT job_id, 'pending' FROM job)
            SELECT * FROM job"""
        self.by_key = f"SELECT {columns} FROM {name} WHERE user_id = %(user_id)s AND idempotency_key = %(key)s"
        # What was settled as given up is open again: if its message is lost, it is published again.
        self.reopen = f"""
            WITH job AS (
                UPDATE {name} SET status = 'pending', redrives = %(redrives)s, crashes = 0, lease_until = NULL,
                    error_code = NULL, error_message = NULL, completed_at = NULL, updated_at = clock_timestamp()
                WHERE job_id = %(job_id)s AND status = 'failed' AND redrives < %(redrives)s
                RETURNING job_id, message_id),
            step AS (INSERT INTO job_history (job_id, step) SELECT job_id, 'redriven' FROM job),
            effect AS (
                DELETE FROM inbox USING job
                WHERE inbox.consumer = %(queue)s AND inbox.message_id = job.message_id AND inbox.outcome = 'dead')
            UPDATE outbox SET settled_at = NULL, published_at = clock_timestamp()
            FROM job WHERE outbox.message_id = job.message_id"""
        self.claim = f"""
            WITH job AS (
                UPDATE {name} SET
                    status = 'processing', fence = fence + 1, attempts = attempts + 1, worker = %(worker)s,
                    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
                    updated_at = clock_timestamp()
                WHERE job_id = %(job_id)s AND crashes <= %(allowed)s
                    AND (status = 'pending' OR (status = 'processing' AND lease_until IS NULL))
                RETURNING job_id, message_id, fence, attempts),
            step AS (
                INSERT INTO job_history (job_id, step, attempt, worker, detail)
                SELECT job_id, 'processing', attempts, %(worker)s, %(detail)s FROM job)
            SELECT * FROM job"""
        self.standing = f"""
            SELECT status, crashes, fence, CASE WHEN status = 'processing' THEN
                EXTRACT(EPOCH FROM lease_until - clock_timestamp())::float8 END AS held_for_s
            FROM {name} WHERE job_id = %(job_id)s"""
        self.count_crash = f"""
            WITH job AS (
                UPDATE {name} SET crashes = crashes + 1, lease_until = NULL, updated_at = clock_timestamp()
                WHERE job_id = %(job_id)s AND status = 'processing' AND lease_until < clock_timestamp()
                RETURNING job_id, status, crashes, attempts, worker),
            step AS (
                INSERT INTO job_history (job_id, step, attempt, worker)
                SELECT job_id, 'lease expired', attempts, worker FROM job)
            SELECT status, crashes, NULL::float8 AS held_for_s FROM job"""
        self.renew = f"""
            UPDATE {name} AS t SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
            FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS mine(job_id, fence)
            WHERE t.job_id = mine.job_id AND t.fence = mine.fence AND t.status = 'processing'
                AND t.lease_until IS NOT NULL -- released while the renewal was under way
            RETURNING t.job_id"""
        self.release = f"""
            WITH job AS (
                UPDATE {name} SET lease_until = NULL, error_message = %(error)s, updated_at = clock_timestamp()
                WHERE job_id = %(job_id)s AND fence = %(fence)s AND status = 'processing'
                RETURNING job_id, attempts, worker)
            INSERT INTO job_history (job_id, step, attempt, worker, detail)
            SELECT job_id, 'attempt failed', attempts, worker, jsonb_build_object('error', %(error)s::text) FROM job"""
        effect = (
            "INSERT INTO inbox (consumer, message_id, outcome) SELECT %(queue)s, message_id, '{}' FROM job "
            "ON CONFLICT (consumer, message_id) DO UPDATE SET outcome = EXCLUDED.outcome, at = clock_timestamp()"
        )
        added = f", {table.metadata} = {table.metadata} || %(metadata)s" if table.metadata else ""
        self.complete = f"""
            WITH job AS (
                UPDATE {name} SET status = 'completed', {result} = %(result)s, lease_until = NULL, error_code = NULL,
                    error_message = NULL, completed_at = moment.at, updated_at = moment.at{added}
                FROM {moment}
                WHERE job_id = %(job_id)s AND fence = %(fence)s AND status = 'processing'
                RETURNING job_id, message_id, attempts, worker),
            message AS ({publish}),
            effect AS ({effect.format("done")}),
            step AS (
                INSERT INTO job_history (job_id, step, attempt, worker, detail)
                SELECT job_id, 'completed', attempts, worker, %(detail)s FROM job)
            SELECT job_id FROM job"""
        self.fail = f"""
            WITH job AS (
                UPDATE {name} SET status = 'failed', error_code = %(code)s, error_message = %(error)s,
                    lease_until = NULL, completed_at = moment.at, updated_at = moment.at
                FROM {moment}
                WHERE job_id = %(job_id)s AND status IN ('pending', 'processing')
                    AND (lease_until IS NULL OR lease_until < clock_timestamp())
                RETURNING job_id, message_id, attempts, worker),
            message AS ({publish}),
            effect AS ({effect.format("dead")}),
            step AS (
                INSERT INTO job_history (job_id, step, attempt, worker, detail)
                SELECT job_id, 'failed', attempts, worker, jsonb_build_object('error', %(error)s::text) FROM job)
            SELECT job_id FROM job"""
        # Whoever works on it loses the fence's protection with the status, and its message has had its effect.
        self.cancel = f"""
            WITH job AS (
                UPDATE {name} SET status = 'cancelled', lease_until = NULL, error_code = NULL, error_message = NULL,
                    completed_at = moment.at, updated_at = moment.at
                FROM {moment}
                WHERE job_id = %(job_id)s AND user_id = %(user_id)s AND status IN ('pending', 'processing')
                RETURNING {columns}, message_id),
            effect AS ({effect.format("done")}),
            step AS (INSERT INTO job_history (job_id, step) SELECT job_id, 'cancelled' FROM job)
            SELECT * FROM job"""
        # The oldest of the newest `limit + 1`: there is one only if the window holds too many.
        self.too_many = f"""
            SELECT %(window_s)s - EXTRACT(EPOCH FROM clock_timestamp() - created_at)::float8 AS wait_s FROM {name}
            WHERE user_id = %(user_id)s AND created_at > clock_timestamp() - make_interval(secs => %(window_s)s)
            ORDER BY created_at DESC OFFSET %(limit)s LIMIT 1"""
        self.get = f"SELECT {columns} FROM {name} WHERE job_id = %(job_id)s AND user_id = %(user_id)s"
        self.find = f"SELECT {columns} FROM {name} WHERE job_id = %(job_id)s"
        self.newest = f"""
            SELECT {columns} FROM {name}
            WHERE user_id = %(user_id)s AND (%(created_at)s::timestamptz IS NULL
                OR (created_at, job_id) < (%(created_at)s, %(job_id)s))
            ORDER BY created_at DESC, job_id DESC LIMIT %(limit)s"""
        self.counts = f"SELECT status, count(*) AS n FROM {name} GROUP BY status"

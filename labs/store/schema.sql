-- The lab's tables. Applied at every start: each statement is harmless where the object exists.

CREATE TABLE IF NOT EXISTS users (
    id         INTEGER PRIMARY KEY,
    email      TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS cover_letter_jobs (
    id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         INTEGER NOT NULL REFERENCES users (id),
    job_id          VARCHAR(255) UNIQUE NOT NULL,
    status          VARCHAR(50) NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    job_description TEXT NOT NULL,
    cv_text         TEXT NOT NULL,
    tone            VARCHAR(50) NOT NULL,
    cover_letter    TEXT,
    error_code      VARCHAR(50),
    error_message   TEXT,
    message_id      UUID UNIQUE NOT NULL,
    idempotency_key TEXT,
    request_hash    TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0,  -- claims
    crashes         INTEGER NOT NULL DEFAULT 0,  -- leases that ran out: workers that died on it
    redrives        INTEGER NOT NULL DEFAULT 0,
    fence           BIGINT NOT NULL DEFAULT 0,   -- grows with each claim: a result with an older fence is refused
    lease_until     TIMESTAMPTZ,                 -- NULL: nobody works on it
    worker          TEXT,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    completed_at    TIMESTAMPTZ
);
CREATE UNIQUE INDEX IF NOT EXISTS cover_letter_jobs_idempotency
    ON cover_letter_jobs (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS cover_letter_jobs_newest ON cover_letter_jobs (user_id, created_at DESC, job_id DESC);

-- Every step of every job, in the transaction that made it: nothing is ever changed here.
CREATE TABLE IF NOT EXISTS job_history (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id  VARCHAR(255) NOT NULL,
    step    TEXT NOT NULL,
    at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    attempt INTEGER,
    worker  TEXT,
    detail  JSONB
);
CREATE INDEX IF NOT EXISTS job_history_job ON job_history (job_id, id);

-- Messages to publish, written in the transaction whose fact they tell.
CREATE TABLE IF NOT EXISTS outbox (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id     UUID UNIQUE NOT NULL,
    exchange       TEXT NOT NULL,
    routing_key    TEXT NOT NULL,
    type           TEXT NOT NULL,
    version        INTEGER NOT NULL,
    body           TEXT NOT NULL,
    correlation_id TEXT,
    traceparent    TEXT,
    occurred_at    TIMESTAMPTZ NOT NULL,
    consumers      TEXT[] NOT NULL,              -- who must have an inbox row for it before it is settled
    created_at     TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    claim_token    UUID,
    claimed_until  TIMESTAMPTZ,
    published_at   TIMESTAMPTZ,                  -- of the last confirm
    publishes      INTEGER NOT NULL DEFAULT 0,
    settled_at     TIMESTAMPTZ,
    last_error     TEXT
);
CREATE INDEX IF NOT EXISTS outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_unsettled ON outbox (published_at) WHERE published_at IS NOT NULL AND settled_at IS NULL;

-- Effects that have happened: one row for each consumer and message, in the transaction of the effect.
CREATE TABLE IF NOT EXISTS inbox (
    consumer   TEXT NOT NULL,
    message_id UUID NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('done', 'dead')),
    at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, message_id)
);

CREATE TABLE IF NOT EXISTS analytics_daily (
    day       DATE NOT NULL,
    tone      TEXT NOT NULL,
    completed INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, tone)
);

CREATE TABLE IF NOT EXISTS resume_jobs (
    job_id          VARCHAR(255) PRIMARY KEY,
    user_id         INTEGER NOT NULL REFERENCES users (id),
    status          VARCHAR(50) NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    job_description TEXT NOT NULL,               -- empty: a general resume
    metadata        JSONB NOT NULL DEFAULT '{}',
    webhook_url     TEXT,
    resume_id       UUID,
    error_code      VARCHAR(50),
    error_message   TEXT,
    message_id      UUID UNIQUE NOT NULL,
    idempotency_key TEXT,
    request_hash    TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0,  -- this and what follows as in cover_letter_jobs
    crashes         INTEGER NOT NULL DEFAULT 0,
    redrives        INTEGER NOT NULL DEFAULT 0,
    fence           BIGINT NOT NULL DEFAULT 0,
    lease_until     TIMESTAMPTZ,
    worker          TEXT,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    completed_at    TIMESTAMPTZ
);
CREATE UNIQUE INDEX IF NOT EXISTS resume_jobs_idempotency
    ON resume_jobs (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS resume_jobs_newest ON resume_jobs (user_id, created_at DESC, job_id DESC);
CREATE INDEX IF NOT EXISTS resume_jobs_resume ON resume_jobs (resume_id);

-- Made by workers; a row that no completed job names is a draft.
CREATE TABLE IF NOT EXISTS resumes (
    id         UUID PRIMARY KEY,
    job_id     VARCHAR(255) NOT NULL REFERENCES resume_jobs (job_id),
    pdf        BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS resumes_job ON resumes (job_id);

-- What the model has made of a job description; the key is a hash of description, language and model.
CREATE TABLE IF NOT EXISTS resume_enhancements (
    key        TEXT PRIMARY KEY,
    text       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS resume_enhancements_oldest ON resume_enhancements (created_at);

CREATE TABLE IF NOT EXISTS job_applications (
    user_id         INTEGER NOT NULL,
    id              UUID NOT NULL,
    job_description TEXT NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, id)
);

CREATE TABLE IF NOT EXISTS resume_profiles (
    user_id    INTEGER PRIMARY KEY,
    profile    JSONB NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- What a request with an Idempotency-Key has made, where it made no job.
CREATE TABLE IF NOT EXISTS requests (
    user_id         TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash    TEXT NOT NULL,
    made            TEXT NOT NULL,               -- the id of what it made
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, idempotency_key)
);

-- Users with names. Nobody needs a row here to write documents.
CREATE TABLE IF NOT EXISTS registered_users (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS documents (
    id         TEXT PRIMARY KEY,
    created_by TEXT NOT NULL,
    version    INTEGER NOT NULL,                 -- the newest
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_newest ON documents (created_by, created_at DESC, id DESC);

-- Every version stays: an event tells of one, and may be handled when there are newer ones.
CREATE TABLE IF NOT EXISTS document_versions (
    document_id TEXT NOT NULL REFERENCES documents (id),
    version     INTEGER NOT NULL,
    title       TEXT NOT NULL,
    content     TEXT NOT NULL,
    tags        TEXT[] NOT NULL,
    PRIMARY KEY (document_id, version)
);

CREATE TABLE IF NOT EXISTS document_comments (
    id          TEXT PRIMARY KEY,
    document_id TEXT NOT NULL REFERENCES documents (id),
    created_by  TEXT NOT NULL,
    text        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS document_comments_newest ON document_comments (document_id, created_at DESC, id DESC);

-- The three tables below are each written by one consumer of events alone, and refer to nothing.
CREATE TABLE IF NOT EXISTS notifications (
    message_id  UUID PRIMARY KEY,                -- of the event
    user_id     TEXT NOT NULL,                   -- who is told
    type        TEXT NOT NULL,
    text        TEXT NOT NULL,
    about       TEXT NOT NULL,                   -- the id of what it is about
    occurred_at TIMESTAMPTZ NOT NULL             -- by which they are sorted: events come in any order
);
CREATE INDEX IF NOT EXISTS notifications_newest ON notifications (user_id, occurred_at DESC);

CREATE TABLE IF NOT EXISTS document_search (
    document_id TEXT PRIMARY KEY,
    version     INTEGER NOT NULL,                -- an event of an older one changes nothing
    title       TEXT NOT NULL,
    tags        TEXT[] NOT NULL,
    created_by  TEXT NOT NULL,
    words       TSVECTOR NOT NULL
);
CREATE INDEX IF NOT EXISTS document_search_words ON document_search USING gin (words);

CREATE TABLE IF NOT EXISTS document_activity (
    message_id  UUID PRIMARY KEY,                -- of the event
    type        TEXT NOT NULL,
    day         DATE NOT NULL                    -- in UTC, of the event
);
CREATE INDEX IF NOT EXISTS document_activity_day ON document_activity (day);
-- The peers' three services: each knows its own table and no other's.
CREATE TABLE IF NOT EXISTS peers_users (
    user_id    INTEGER PRIMARY KEY,
    username   TEXT UNIQUE NOT NULL,
    email      TEXT NOT NULL,
    profile    JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS peers_matching (
    user_id       INTEGER PRIMARY KEY,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    waiting_since TIMESTAMPTZ,                   -- NULL: not looking for a peer
    session_id    UUID,
    peer_id       INTEGER
);
CREATE INDEX IF NOT EXISTS peers_matching_waiting ON peers_matching (waiting_since) WHERE waiting_since IS NOT NULL;
CREATE TABLE IF NOT EXISTS peers_participants (
    session_id    VARCHAR(64) NOT NULL,
    user_id       INTEGER NOT NULL,
    last_sequence BIGINT NOT NULL DEFAULT 0,     -- of the changes that this author has published
    last_hash     TEXT,                          -- of the last one, to know it again
    PRIMARY KEY (session_id, user_id)
);

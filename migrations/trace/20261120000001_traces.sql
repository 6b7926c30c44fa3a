-- The trace tables: one row per ask, what people thought of the answer, and who asked for a human.
--
-- This set applies alone, as an ordinary role that owns nothing else: it creates one schema, no role and
-- no extension. Row-level security is on and forced from the first statement: without a tenant every
-- table reads as empty, for the owner of the tables too.

CREATE SCHEMA IF NOT EXISTS rag_tower;

-- The tenant of this transaction, or null. `set_config(…, true)` leaves an empty string behind on its
-- connection when the transaction ends, not a null, hence the nullif. Written out in each policy, so that
-- a policy can be read (and audited) without following a function.

CREATE TABLE rag_tower.request_traces (
    -- a UUIDv7; `ts` is its own millisecond, the start of the request, so that a replay meets the same key
    trace_id       uuid        NOT NULL,
    ts             timestamptz NOT NULL,
    tenant_id      uuid        NOT NULL,
    branch_id      uuid,
    request_id     text,
    session_id     uuid,
    subject        text,
    channel        text        NOT NULL,
    route          text,
    status         text        NOT NULL CHECK (status IN
        ('SUCCESS', 'ERROR', 'ABSTAINED', 'FAIL_CLOSED', 'CANCELLED', 'RATE_LIMITED', 'OVER_BUDGET')),
    finish         text,
    reason         text,
    question       text,
    answer         text,
    latency_us     bigint      NOT NULL CHECK (latency_us >= 0),
    latency_ms     bigint      GENERATED ALWAYS AS (latency_us / 1000) STORED,
    ttft_us        bigint      CHECK (ttft_us >= 0),
    input_tokens   bigint      CHECK (input_tokens >= 0),
    output_tokens  bigint      CHECK (output_tokens >= 0),
    total_tokens   bigint      GENERATED ALWAYS AS (input_tokens + output_tokens) STORED,
    -- true when the provider reported no usage and the tokens are ceil(characters / 4)
    estimated      boolean     NOT NULL DEFAULT false,
    -- US dollars; null when the price is unknown, never 0
    cost_estimate  numeric,
    llm_provider   text,
    llm_model      text,
    confidence     real,
    error_kind     text,
    error_stage    text,
    error          text,
    -- the sources that were down while the rest answered
    degraded       jsonb       NOT NULL DEFAULT '[]',
    sources        jsonb       NOT NULL DEFAULT '[]',
    tool_metadata  jsonb       NOT NULL DEFAULT '{}',
    spans          jsonb       NOT NULL DEFAULT '[]',
    hits           jsonb       NOT NULL DEFAULT '[]',
    receipt        jsonb,
    PRIMARY KEY (trace_id, ts)
) PARTITION BY RANGE (ts);

CREATE INDEX request_traces_ts ON rag_tower.request_traces (ts DESC, trace_id DESC);
CREATE INDEX request_traces_tenant ON rag_tower.request_traces (tenant_id, ts DESC, trace_id DESC);
CREATE INDEX request_traces_route ON rag_tower.request_traces (route, ts DESC);

-- One opinion per (trace, subject): the last one wins. No foreign key: feedback may arrive before its row.
CREATE TABLE rag_tower.user_feedback (
    id         uuid        NOT NULL PRIMARY KEY,
    ts         timestamptz NOT NULL DEFAULT now(),
    tenant_id  uuid        NOT NULL,
    trace_id   uuid        NOT NULL,
    subject    text        NOT NULL,
    rating     smallint    NOT NULL CHECK (rating IN (1, -1)),
    comment    text,
    UNIQUE (tenant_id, trace_id, subject)
);
CREATE INDEX user_feedback_ts ON rag_tower.user_feedback (tenant_id, ts DESC);
CREATE INDEX user_feedback_trace ON rag_tower.user_feedback (trace_id);

CREATE TABLE rag_tower.handoff_tickets (
    id          uuid        NOT NULL PRIMARY KEY,
    ts          timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    tenant_id   uuid        NOT NULL,
    branch_id   uuid,
    trace_id    uuid,
    session_id  uuid,
    user_id     text,
    phone       text,
    message     text        NOT NULL DEFAULT '',
    reason      text        NOT NULL,
    status      text        NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'contacted', 'closed')),
    meta        jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX handoff_tickets_ts ON rag_tower.handoff_tickets (ts DESC, id DESC);
CREATE INDEX handoff_tickets_tenant ON rag_tower.handoff_tickets (tenant_id, ts DESC, id DESC);
-- Asking twice in one conversation for the same reason is one ticket until that ticket is closed.
CREATE UNIQUE INDEX handoff_tickets_open ON rag_tower.handoff_tickets (tenant_id, session_id, reason)
    WHERE session_id IS NOT NULL AND status <> 'closed';

-- Row-level security.

ALTER TABLE rag_tower.request_traces  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.request_traces  FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.user_feedback   ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.user_feedback   FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.handoff_tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.handoff_tickets FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON rag_tower.request_traces
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.user_feedback
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.handoff_tickets
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

-- Creates the missing daily (UTC) partitions of [first, first + days) and returns how many it made.
--
-- It runs as the owner of the tables, so that a writer needs no right to create anything. A leaf does not
-- inherit row-level security from its parent: each is born with it forced and without any policy, and is
-- never granted, so that the only way to its rows is through the parent. The leaf is built aside and then
-- attached, because ATTACH does not stop readers and writers of the parent while CREATE … PARTITION OF does.
CREATE FUNCTION rag_tower.ensure_partitions(first date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day  date;
    leaf text;
    made integer := 0;
BEGIN
    IF days < 1 OR days > 400 THEN
        RAISE EXCEPTION 'days must be between 1 and 400, not %', days USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR i IN 0 .. days - 1 LOOP
        day  := first + i;
        leaf := 'request_traces_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = leaf AND relnamespace = 'rag_tower'::regnamespace);
        -- two writers at midnight: the second waits here and finds the leaf made; a query sees that, while
        -- to_regclass would still answer from its cache
        PERFORM pg_advisory_xact_lock(hashtext('rag_tower.ensure_partitions'));
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = leaf AND relnamespace = 'rag_tower'::regnamespace);
        EXECUTE format('CREATE TABLE rag_tower.%I (LIKE rag_tower.request_traces INCLUDING ALL)', leaf);
        EXECUTE format('ALTER TABLE rag_tower.%I ENABLE ROW LEVEL SECURITY', leaf);
        EXECUTE format('ALTER TABLE rag_tower.%I FORCE ROW LEVEL SECURITY', leaf);
        EXECUTE format(
            'ALTER TABLE rag_tower.request_traces ATTACH PARTITION rag_tower.%I FOR VALUES FROM (%L) TO (%L)',
            leaf, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION rag_tower.ensure_partitions(date, integer) FROM PUBLIC;

-- Lets `writer` append trace rows of every tenant and read back nothing but their keys (which is how it
-- learns which of a replayed batch were new). The policies ask for `rag.writer` besides the role, so that
-- a login that owns the tables and writes them itself still reads nothing by accident.
CREATE FUNCTION rag_tower.allow_trace_writer(writer name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix text := md5(writer::text);
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag_tower TO %I', writer);
    EXECUTE format('GRANT INSERT, SELECT (trace_id, ts) ON rag_tower.request_traces TO %I', writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION rag_tower.ensure_partitions(date, integer) TO %I', writer);
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = 'rag_tower' AND tablename = 'request_traces'
               AND policyname = 'writer_inserts_' || suffix) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE POLICY %I ON rag_tower.request_traces FOR INSERT TO %I '
        'WITH CHECK (current_setting(''rag.writer'', true) = ''on'')', 'writer_inserts_' || suffix, writer);
    EXECUTE format(
        'CREATE POLICY %I ON rag_tower.request_traces FOR SELECT TO %I '
        'USING (current_setting(''rag.writer'', true) = ''on'')', 'writer_returns_' || suffix, writer);
END
$$;
REVOKE ALL ON FUNCTION rag_tower.allow_trace_writer(name) FROM PUBLIC;

SELECT rag_tower.allow_trace_writer(current_user);
SELECT rag_tower.ensure_partitions((now() AT TIME ZONE 'UTC')::date, 2);

-- Figures without counting rows: what happened in each quarter of an hour, hour and day (UTC), added up as it happens.
--
-- Whoever writes trace rows appends to `rollup_deltas`, in the same transaction, what those rows that were new add to
-- which bucket. One job at a time folds the deltas into the rollups. So a row counts exactly once however often it is
-- sent, writers share no row that they would wait for, and the rollups and the deltas together are always exact.

CREATE TABLE rag_tower.rollup_deltas (
    id             bigint        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at        timestamptz   NOT NULL DEFAULT now(),
    -- one entry for each key that the batch touched; the columns are those of the rollups below
    bucket         timestamptz[] NOT NULL,
    tenant_id      uuid[]        NOT NULL,
    route          text[]        NOT NULL,
    status         text[]        NOT NULL,
    channel        text[]        NOT NULL,
    model          text[]        NOT NULL,
    requests       bigint[]      NOT NULL,
    errors         bigint[]      NOT NULL,
    abstained      bigint[]      NOT NULL,
    cancelled      bigint[]      NOT NULL,
    limited        bigint[]      NOT NULL,
    estimated      bigint[]      NOT NULL,
    priced         bigint[]      NOT NULL,
    input_tokens   bigint[]      NOT NULL,
    output_tokens  bigint[]      NOT NULL,
    cost_nanos     bigint[]      NOT NULL,
    latency_us     bigint[]      NOT NULL,
    ttft_us        bigint[]      NOT NULL,
    feedback_up    bigint[]      NOT NULL,
    feedback_down  bigint[]      NOT NULL,
    handoffs       bigint[]      NOT NULL,
    latency        bytea[]       NOT NULL,
    ttft           bytea[]       NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Of everything: the owner's.
CREATE TABLE rag_tower.system_totals (
    -- minutes: a quarter of an hour, an hour, a UTC day
    level          smallint    NOT NULL CHECK (level IN (15, 60, 1440)),
    bucket         timestamptz NOT NULL,
    requests       bigint      NOT NULL,
    -- of them: ERROR and FAIL_CLOSED; ABSTAINED; CANCELLED; RATE_LIMITED and OVER_BUDGET
    errors         bigint      NOT NULL,
    abstained      bigint      NOT NULL,
    cancelled      bigint      NOT NULL,
    limited        bigint      NOT NULL,
    -- of them: tokens are estimates; the price is known
    estimated      bigint      NOT NULL,
    priced         bigint      NOT NULL,
    input_tokens   bigint      NOT NULL,
    output_tokens  bigint      NOT NULL,
    -- US dollars x 1e-9
    cost_nanos     bigint      NOT NULL,
    -- sums, in microseconds
    latency_us     bigint      NOT NULL,
    ttft_us        bigint      NOT NULL,
    -- thumbs count where their ask is, tickets where they were opened
    feedback_up    bigint      NOT NULL,
    feedback_down  bigint      NOT NULL,
    handoffs       bigint      NOT NULL,
    -- histograms, in the library's own bytes: how many values within half a per cent of which duration
    latency        bytea       NOT NULL,
    ttft           bytea       NOT NULL,
    PRIMARY KEY (level, bucket)
) WITH (fillfactor = 70);

-- A null route or model of a trace row is an empty one here.
CREATE TABLE rag_tower.system_rollups (
    LIKE rag_tower.system_totals INCLUDING CONSTRAINTS,
    route          text        NOT NULL,
    status         text        NOT NULL,
    channel        text        NOT NULL,
    model          text        NOT NULL,
    PRIMARY KEY (level, bucket, route, status, channel, model)
) WITH (fillfactor = 70);

-- Of one tenant.
CREATE TABLE rag_tower.trace_totals (
    LIKE rag_tower.system_totals INCLUDING CONSTRAINTS,
    tenant_id      uuid        NOT NULL,
    PRIMARY KEY (tenant_id, level, bucket)
) WITH (fillfactor = 70);

CREATE TABLE rag_tower.trace_rollups (
    LIKE rag_tower.system_totals INCLUDING CONSTRAINTS,
    tenant_id      uuid        NOT NULL,
    route          text        NOT NULL,
    status         text        NOT NULL,
    channel        text        NOT NULL,
    model          text        NOT NULL,
    PRIMARY KEY (tenant_id, level, bucket, route, status, channel, model)
) WITH (fillfactor = 70);

-- What came after its row: the rating, or that there is a ticket, as the rollups have it. A rating of 0 stands for
-- feedback whose ask never came, which is looked for no more.
ALTER TABLE rag_tower.user_feedback   ADD COLUMN rolled smallint;
ALTER TABLE rag_tower.handoff_tickets ADD COLUMN rolled boolean NOT NULL DEFAULT false;
CREATE INDEX user_feedback_unrolled ON rag_tower.user_feedback (ts)
    WHERE rolled IS DISTINCT FROM rating AND rolled IS DISTINCT FROM 0;
CREATE INDEX handoff_tickets_unrolled ON rag_tower.handoff_tickets (ts) WHERE NOT rolled;

-- The time that is in a trace's id, so that a look-up by id goes to one partition.
CREATE FUNCTION rag_tower.trace_time(trace uuid) RETURNS timestamptz
    LANGUAGE sql STABLE
AS $$
    SELECT timestamptz 'epoch'
         + ('x' || left(replace(trace::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond'
$$;
REVOKE ALL ON FUNCTION rag_tower.trace_time(uuid) FROM PUBLIC;

-- Row-level security.

ALTER TABLE rag_tower.rollup_deltas  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.rollup_deltas  FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.system_totals  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.system_totals  FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.system_rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.system_rollups FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.trace_totals   ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.trace_totals   FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.trace_rollups  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.trace_rollups  FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON rag_tower.trace_totals
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.trace_rollups
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

-- As before, and a writer appends what its rows add to the rollups.
CREATE OR REPLACE FUNCTION rag_tower.allow_trace_writer(writer name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix text := md5(writer::text);
    gate   text := '(current_setting(''rag.writer'', true) = ''on'')';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag_tower TO %I', writer);
    EXECUTE format('GRANT INSERT, SELECT (trace_id, ts) ON rag_tower.request_traces TO %I', writer);
    EXECUTE format('GRANT INSERT ON rag_tower.rollup_deltas TO %I', writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION rag_tower.ensure_partitions(date, integer) TO %I', writer);
    IF NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = 'rag_tower' AND tablename = 'request_traces'
                   AND policyname = 'writer_inserts_' || suffix) THEN
        EXECUTE format('CREATE POLICY %I ON rag_tower.request_traces FOR INSERT TO %I WITH CHECK %s',
                       'writer_inserts_' || suffix, writer, gate);
        EXECUTE format('CREATE POLICY %I ON rag_tower.request_traces FOR SELECT TO %I USING %s',
                       'writer_returns_' || suffix, writer, gate);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = 'rag_tower' AND tablename = 'rollup_deltas'
                   AND policyname = 'writer_inserts_' || suffix) THEN
        EXECUTE format('CREATE POLICY %I ON rag_tower.rollup_deltas FOR INSERT TO %I WITH CHECK %s',
                       'writer_inserts_' || suffix, writer, gate);
    END IF;
END
$$;

-- Lets `folder` fold deltas into the rollups, of every tenant: it reads no text of a trace and changes nothing of one but
-- its price. The policies ask for `rag.writer` besides the role, as the writer's do.
CREATE FUNCTION rag_tower.allow_rollup_folder(folder name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    policy text := 'folds_' || md5(folder::text);
    gate   text := '(current_setting(''rag.writer'', true) = ''fold'')';
    name   text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag_tower TO %I', folder);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON rag_tower.rollup_deltas TO %I', folder);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON rag_tower.system_totals, rag_tower.system_rollups,
                    rag_tower.trace_totals, rag_tower.trace_rollups TO %I', folder);
    EXECUTE format('GRANT SELECT (trace_id, ts, tenant_id, route, status, channel, llm_model, cost_estimate),
                    UPDATE (cost_estimate) ON rag_tower.request_traces TO %I', folder);
    EXECUTE format('GRANT SELECT (id, ts, tenant_id, trace_id, rating, rolled), UPDATE (rolled)
                    ON rag_tower.user_feedback TO %I', folder);
    EXECUTE format('GRANT SELECT (id, ts, tenant_id, trace_id, rolled), UPDATE (rolled)
                    ON rag_tower.handoff_tickets TO %I', folder);
    EXECUTE format('GRANT EXECUTE ON FUNCTION rag_tower.trace_time(uuid) TO %I', folder);
    FOREACH name IN ARRAY ARRAY['rollup_deltas', 'system_totals', 'system_rollups', 'trace_totals', 'trace_rollups',
                                'request_traces', 'user_feedback', 'handoff_tickets'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_policies WHERE schemaname = 'rag_tower' AND tablename = name
                              AND policyname = policy);
        EXECUTE format('CREATE POLICY %I ON rag_tower.%I TO %I USING %s WITH CHECK %s', policy, name, folder, gate, gate);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION rag_tower.allow_rollup_folder(name) FROM PUBLIC;

-- whoever may write already
SELECT rag_tower.allow_trace_writer(r.writer)
FROM (SELECT DISTINCT unnest(roles) AS writer FROM pg_policies
      WHERE schemaname = 'rag_tower' AND tablename = 'request_traces' AND policyname LIKE 'writer\_inserts\_%') r;
SELECT rag_tower.allow_rollup_folder(current_user);

-- The rows that are there already become deltas, one for each day. Nobody may write meanwhile: a row is either here or
-- in the delta of its own batch.

SELECT set_config('rag.writer', 'fold', true);
LOCK TABLE rag_tower.request_traces IN SHARE ROW EXCLUSIVE MODE;

CREATE FUNCTION rag_tower.varint(number bigint) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bytes bytea := '';
BEGIN
    WHILE number >= 128 LOOP
        bytes := bytes || set_byte('\x00'::bytea, 0, ((number & 127) | 128)::integer);
        number := number >> 7;
    END LOOP;
    RETURN bytes || set_byte('\x00'::bytea, 0, number::integer);
END
$$;
-- as the library does it: a version, the zeros, then for each bin its distance and its count
CREATE FUNCTION rag_tower.sketch(durations bigint[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((
        SELECT '\x01'::bytea || rag_tower.varint(coalesce(sum(n) FILTER (WHERE bin IS NULL), 0)::bigint)
            || coalesce(string_agg(rag_tower.varint(bin - coalesce(before + 1, 0)) || rag_tower.varint(n), ''::bytea
                                   ORDER BY bin) FILTER (WHERE bin IS NOT NULL), ''::bytea)
        FROM (SELECT bin, n, lag(bin) OVER (ORDER BY bin) AS before
              FROM (SELECT CASE WHEN us > 0 THEN ceil(ln(us::float8) / 0.01000008333458336::float8)::bigint END AS bin,
                           count(*) AS n
                    FROM unnest(durations) AS u (us) WHERE us IS NOT NULL GROUP BY 1) b) d
        HAVING count(*) > 0), ''::bytea)
$$;

INSERT INTO rag_tower.rollup_deltas (
    bucket, tenant_id, route, status, channel, model, requests, errors, abstained, cancelled, limited, estimated, priced,
    input_tokens, output_tokens, cost_nanos, latency_us, ttft_us, feedback_up, feedback_down, handoffs, latency, ttft)
SELECT array_agg(bucket), array_agg(tenant_id), array_agg(route), array_agg(status), array_agg(channel), array_agg(model),
    array_agg(requests),
    array_agg(CASE WHEN status IN ('ERROR', 'FAIL_CLOSED') THEN requests ELSE 0 END),
    array_agg(CASE WHEN status = 'ABSTAINED' THEN requests ELSE 0 END),
    array_agg(CASE WHEN status = 'CANCELLED' THEN requests ELSE 0 END),
    array_agg(CASE WHEN status IN ('RATE_LIMITED', 'OVER_BUDGET') THEN requests ELSE 0 END),
    array_agg(estimated), array_agg(priced), array_agg(input_tokens), array_agg(output_tokens), array_agg(cost_nanos),
    array_agg(latency_us), array_agg(ttft_us), array_agg(0::bigint), array_agg(0::bigint), array_agg(0::bigint),
    array_agg(latency), array_agg(ttft)
FROM (
    SELECT date_bin('15 minutes', ts, timestamptz 'epoch') AS bucket, tenant_id, coalesce(r.route, '') AS route, status,
        channel, coalesce(r.llm_model, '') AS model, count(*) AS requests,
        count(*) FILTER (WHERE r.estimated) AS estimated, count(cost_estimate) AS priced,
        coalesce(sum(r.input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(r.output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(round(cost_estimate * 1000000000)), 0)::bigint AS cost_nanos,
        sum(r.latency_us)::bigint AS latency_us, coalesce(sum(r.ttft_us), 0)::bigint AS ttft_us,
        rag_tower.sketch(array_agg(r.latency_us)) AS latency, rag_tower.sketch(array_agg(r.ttft_us)) AS ttft
    FROM rag_tower.request_traces r
    GROUP BY 1, 2, 3, 4, 5, 6) k
GROUP BY (bucket AT TIME ZONE 'UTC')::date;

DROP FUNCTION rag_tower.sketch(bigint[]);
DROP FUNCTION rag_tower.varint(bigint);
SELECT set_config('rag.writer', '', true);

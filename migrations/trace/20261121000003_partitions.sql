-- Keeping partitions: which there are, dropping those that are older than rows are kept, and taking no row of a day that
-- was dropped. A row that came again would be a new one, and count twice.

CREATE TABLE rag_tower.trace_horizon (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    -- rows before this were dropped with their partitions, and none is taken any more; their rollups stay
    kept_since timestamptz NOT NULL
);
INSERT INTO rag_tower.trace_horizon (kept_since) VALUES ('-infinity');

ALTER TABLE rag_tower.trace_horizon ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.trace_horizon FORCE  ROW LEVEL SECURITY;
-- for the functions below, which run as the owner of the tables
CREATE POLICY keeps ON rag_tower.trace_horizon TO CURRENT_USER USING (true) WITH CHECK (true);

-- The partitions that have a first and a last moment; the last is not in it any more. It reads the catalog only.
CREATE FUNCTION rag_tower.trace_partitions() RETURNS TABLE (leaf text, first timestamptz, last timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    SELECT c.relname::text, bounds[1]::timestamptz, bounds[2]::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS bounds
    WHERE i.inhparent = 'rag_tower.request_traces'::regclass AND bounds IS NOT NULL
$$;
REVOKE ALL ON FUNCTION rag_tower.trace_partitions() FROM PUBLIC;

-- As before, and a day that was dropped gets no partition again: its rows are refused as a violated constraint.
CREATE OR REPLACE FUNCTION rag_tower.ensure_partitions(first date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day  date;
    leaf text;
    kept timestamptz;
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
        SELECT kept_since INTO kept FROM rag_tower.trace_horizon;
        IF (day + 1)::timestamp AT TIME ZONE 'UTC' <= kept THEN
            RAISE EXCEPTION 'the rows of % were dropped, and none is taken any more', day
                USING ERRCODE = 'check_violation';
        END IF;
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

-- Drops the oldest partition that ended more than `keep_days` ago, and returns its name; null when there is none.
--
-- What is old is decided here, by the database's own clock. Rows are never deleted one by one. A drop needs the parent for
-- itself for a moment: it gives up after a fifth of a second of waiting, since whoever comes later waits behind it, and the
-- caller tries again. The files go after everyone is let in again.
CREATE FUNCTION rag_tower.drop_partition(keep_days integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '200ms'
AS $$
DECLARE
    old record;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days must be at least 1, not %', keep_days USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO old FROM rag_tower.trace_partitions() p
    WHERE p.last <= now() - make_interval(days => keep_days) ORDER BY p.last LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format('DROP TABLE rag_tower.%I', old.leaf);
    UPDATE rag_tower.trace_horizon SET kept_since = greatest(kept_since, old.last);
    RETURN old.leaf;
END
$$;
REVOKE ALL ON FUNCTION rag_tower.drop_partition(integer) FROM PUBLIC;

-- Lets `keeper` make partitions, and drop those that are old.
CREATE FUNCTION rag_tower.allow_partition_keeper(keeper name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag_tower TO %I', keeper);
    EXECUTE format('GRANT EXECUTE ON FUNCTION rag_tower.ensure_partitions(date, integer), rag_tower.trace_partitions(),
                    rag_tower.drop_partition(integer) TO %I', keeper);
END
$$;
REVOKE ALL ON FUNCTION rag_tower.allow_partition_keeper(name) FROM PUBLIC;

-- As before, and a folder may make the rollups of a day again from its rows: it reads every number of a row, and still no
-- text.
CREATE OR REPLACE FUNCTION rag_tower.allow_rollup_folder(folder name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    policy text := 'folds_' || md5(folder::text);
    gate   text := '(current_setting(''rag.writer'', true) = ''fold'')';
    name   text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag_tower TO %I', folder);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON rag_tower.rollup_deltas TO %I', folder);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.system_totals, rag_tower.system_rollups,
                    rag_tower.trace_totals, rag_tower.trace_rollups TO %I', folder);
    EXECUTE format('GRANT SELECT (trace_id, ts, tenant_id, route, status, channel, llm_model, cost_estimate, estimated,
                    input_tokens, output_tokens, latency_us, ttft_us), UPDATE (cost_estimate)
                    ON rag_tower.request_traces TO %I', folder);
    EXECUTE format('GRANT SELECT (id, ts, tenant_id, trace_id, rating, rolled), UPDATE (rolled)
                    ON rag_tower.user_feedback TO %I', folder);
    EXECUTE format('GRANT SELECT (id, ts, tenant_id, trace_id, rolled), UPDATE (rolled)
                    ON rag_tower.handoff_tickets TO %I', folder);
    EXECUTE format('GRANT SELECT ON rag_tower.trace_horizon TO %I', folder);
    EXECUTE format('GRANT EXECUTE ON FUNCTION rag_tower.trace_time(uuid), rag_tower.trace_partitions() TO %I', folder);
    FOREACH name IN ARRAY ARRAY['rollup_deltas', 'system_totals', 'system_rollups', 'trace_totals', 'trace_rollups',
                                'request_traces', 'user_feedback', 'handoff_tickets', 'trace_horizon'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_policies WHERE schemaname = 'rag_tower' AND tablename = name
                              AND policyname = policy);
        EXECUTE format('CREATE POLICY %I ON rag_tower.%I TO %I USING %s WITH CHECK %s', policy, name, folder, gate, gate);
    END LOOP;
END
$$;

-- whoever folds already
SELECT rag_tower.allow_rollup_folder(r.folder), rag_tower.allow_partition_keeper(r.folder)
FROM (SELECT DISTINCT unnest(roles) AS folder FROM pg_policies
      WHERE schemaname = 'rag_tower' AND tablename = 'rollup_deltas' AND policyname LIKE 'folds\_%') r;

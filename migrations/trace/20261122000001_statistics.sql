-- No statistics of long columns.
--
-- Postgres keeps samples of what a column holds, to guess how many rows a condition leaves. Of a long text they say nothing
-- about the words in it, and a search that is planned over a year of partitions reads all of them: that was half of what it
-- took. The guess without them is a fixed share, which leads to the text index as well.

-- the partitions that are there change with it
ALTER TABLE rag_tower.request_traces ALTER question SET STATISTICS 0, ALTER answer SET STATISTICS 0,
    ALTER search_text SET STATISTICS 0, ALTER sources SET STATISTICS 0, ALTER tool_metadata SET STATISTICS 0,
    ALTER spans SET STATISTICS 0, ALTER hits SET STATISTICS 0, ALTER receipt SET STATISTICS 0;

-- As before, and a new partition keeps no statistics of these either.
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
        EXECUTE format('ALTER TABLE rag_tower.%I ALTER question SET STATISTICS 0, ALTER answer SET STATISTICS 0,
            ALTER search_text SET STATISTICS 0, ALTER sources SET STATISTICS 0, ALTER tool_metadata SET STATISTICS 0,
            ALTER spans SET STATISTICS 0, ALTER hits SET STATISTICS 0, ALTER receipt SET STATISTICS 0', leaf);
        EXECUTE format(
            'ALTER TABLE rag_tower.request_traces ATTACH PARTITION rag_tower.%I FOR VALUES FROM (%L) TO (%L)',
            leaf, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

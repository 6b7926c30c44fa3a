-- Searching in questions and answers, whatever their case and marks: "hoc phi" finds "Học phí".

-- What is searched, folded by whoever writes the row: the question, a line break, the answer. Null when there is neither.
ALTER TABLE rag_tower.request_traces ADD COLUMN search_text text;

-- Text as it is searched: compatibility forms as plain ones, without marks and invisible characters, in lower case, white
-- space as single spaces, at most 16384 characters. Rows are folded in the library, by the same rules; this is for rows that
-- are written by hand. Letters outside of ASCII are lowered as far as the database's locale knows them.
CREATE FUNCTION rag_tower.search_fold(written text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rtrim(left(ltrim(regexp_replace(
        replace(replace(replace(translate(lower(regexp_replace(
            normalize(written, NFKD),
            '[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670'
            '\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f'
            '\u00ad\u034f\u061c\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]+',
            '', 'g')), 'đðøłħŧıةٱ', 'ddolhtiها'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
        '[\u0009-\u000d\u0020\u0085\u1680\u2028\u2029]+', ' ', 'g')), 16384))
$$;
REVOKE ALL ON FUNCTION rag_tower.search_fold(text) FROM PUBLIC;

-- A list of what failed needs an index, a list of what went well does not: most rows are such. So the index costs nothing
-- for most of what is written.
CREATE INDEX request_traces_status ON rag_tower.request_traces (status, ts DESC, trace_id DESC) WHERE status <> 'SUCCESS';

-- Builds the text index of daily partitions that are over, the newest first, and returns how many it built. Only days before
-- `before` and before the present one (UTC) are looked at: on a partition that is written to, the index would make each
-- insert several times slower. Without the extension pg_trgm nothing is built, and searches read the rows instead.
--
-- A build keeps late rows of its day waiting; one that cannot begin within three seconds is an error and can be tried again.
-- It runs as the owner of the tables, like ensure_partitions, and grants nothing.
CREATE FUNCTION rag_tower.close_partitions(before date, at_most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s'
AS $$
DECLARE
    trigrams name := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                      WHERE e.extname = 'pg_trgm');
    today    text := to_char(least(before, (now() AT TIME ZONE 'UTC')::date), 'YYYYMMDD');
    leaf     name;
    built    integer := 0;
BEGIN
    IF at_most < 1 OR at_most > 400 THEN
        RAISE EXCEPTION 'at_most must be between 1 and 400, not %', at_most USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- one builder at a time, whichever server it is in
    IF trigrams IS NULL OR before IS NULL OR NOT pg_try_advisory_xact_lock(hashtext('rag_tower.close_partitions')) THEN
        RETURN 0;
    END IF;
    FOR leaf IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'rag_tower.request_traces'::regclass AND c.relname ~ '^request_traces_\d{8,}$'
          AND lpad(substr(c.relname, 16), 12, '0') < lpad(today, 12, '0')
          AND NOT EXISTS (SELECT FROM pg_class x WHERE x.relnamespace = c.relnamespace
                          AND x.relname = c.relname || '_search')
        ORDER BY lpad(substr(c.relname, 16), 12, '0') DESC LIMIT at_most
    LOOP
        EXECUTE format('CREATE INDEX %I ON rag_tower.%I USING gin (search_text %I.gin_trgm_ops)',
                       leaf || '_search', leaf, trigrams);
        built := built + 1;
    END LOOP;
    RETURN built;
END
$$;
REVOKE ALL ON FUNCTION rag_tower.close_partitions(date, integer) FROM PUBLIC;

-- The rows that are there already.
SELECT set_config('rag.writer', 'fold', true);
UPDATE rag_tower.request_traces
SET search_text = concat(rag_tower.search_fold(question), E'\n', rag_tower.search_fold(answer))
WHERE question IS NOT NULL OR answer IS NOT NULL;
SELECT set_config('rag.writer', '', true);

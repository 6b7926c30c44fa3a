-- Who builds the text index of partitions that are over, and the extension that it needs.

GRANT EXECUTE ON FUNCTION rag_tower.close_partitions(date, integer) TO rag_jobs;

-- Where the extension is not installed on the machine, or may not be created, searches read the rows instead. Create it
-- later, as whoever may: the next build finds it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm' AND installed_version IS NULL) THEN
        CREATE EXTENSION pg_trgm WITH SCHEMA public;
    END IF;
EXCEPTION
    WHEN insufficient_privilege OR invalid_schema_name OR feature_not_supported OR undefined_file THEN
        RAISE WARNING 'pg_trgm cannot be created (%): searching in old traces reads their rows', SQLERRM;
END
$$;

-- The state of a tenant's corpus, for a connection that is `rag_tenant` as long as it lives: the function says itself whose
-- call it is, for that call, and what Postgres then says of the reader is what its policies go by.
CREATE OR REPLACE FUNCTION rag_tower.corpus_state(of_tenant uuid)
    RETURNS TABLE (reader text, tenant_setting text, version bigint, updated_at timestamptz)
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_catalog.set_config('rag.tenant_id', of_tenant::text, true);
    RETURN QUERY
        SELECT current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version, v.updated_at
        FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = of_tenant;
END
$$;

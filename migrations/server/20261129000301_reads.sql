-- The two reads of every ask, each a function, which keeps its plan: they are sent in one message with who reads, and so
-- are not prepared.

-- Who reads, and the state of this tenant's corpus: one row, whether there is a corpus or not.
CREATE FUNCTION rag_tower.corpus_state(of_tenant uuid)
    RETURNS TABLE (reader text, tenant_setting text, version bigint, updated_at timestamptz)
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
        SELECT current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version, v.updated_at
        FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = of_tenant;
END
$$;

-- The same as before, but for its search path. Setting one costs a third of the call and adds nothing: the caller's rights
-- hold here, every name is whole, and pg_catalog comes first in any path that does not name it.
CREATE OR REPLACE FUNCTION rag_tower.resolve_api_key(key_hash bytea)
    RETURNS TABLE (key_id uuid, tenant_id uuid, slug text, tenant_status text, role text, branches uuid[],
                   expires_at timestamptz, revoked_at timestamptz)
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_catalog.set_config('rag.key_hash', pg_catalog.encode(key_hash, 'hex'), true);
    RETURN QUERY
        SELECT k.id, k.tenant_id, t.slug, t.status, k.role, k.branches, k.expires_at, k.revoked_at
        FROM rag_tower.api_keys k JOIN rag_tower.tenants t ON t.id = k.tenant_id
        WHERE k.hash = key_hash;
END
$$;

REVOKE ALL ON FUNCTION rag_tower.corpus_state(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.corpus_state(uuid) TO rag_tenant;

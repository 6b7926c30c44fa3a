-- What an API key grants, and beside it the state of its tenant's corpus: the two reads that every ask begins with, in one.
--
-- The key is looked up by the caller's role, which sees the one whose hash is presented. The corpus is read by the tenant's:
-- from there on, until the transaction ends, the call is `rag_tenant` and that tenant's, and what Postgres then says of the
-- reader is what its policies go by. A key that does not count opens nothing, so nothing is read for it.
CREATE FUNCTION rag_tower.resolve_ask(sha256 bytea)
    RETURNS TABLE (key_id uuid, tenant_id uuid, slug text, tenant_status text, role text, branches uuid[],
                   expires_at timestamptz, revoked_at timestamptz,
                   reader text, tenant_setting text, version bigint, updated_at timestamptz)
    LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_catalog.set_config('rag.key_hash', pg_catalog.encode(sha256, 'hex'), true);
    SELECT k.id, k.tenant_id, t.slug, t.status, k.role, k.branches, k.expires_at, k.revoked_at
        INTO key_id, tenant_id, slug, tenant_status, role, branches, expires_at, revoked_at
        FROM rag_tower.api_keys k JOIN rag_tower.tenants t ON t.id = k.tenant_id
        WHERE k.hash = sha256;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF tenant_status = 'active' AND revoked_at IS NULL AND coalesce(expires_at > pg_catalog.now(), true) THEN
        PERFORM pg_catalog.set_config('role', 'rag_tenant', true),
                pg_catalog.set_config('rag.tenant_id', tenant_id::text, true);
        SELECT current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version, v.updated_at
            INTO reader, tenant_setting, version, updated_at
            FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = resolve_ask.tenant_id;
    END IF;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION rag_tower.resolve_ask(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.resolve_ask(bytea) TO rag_resolver;

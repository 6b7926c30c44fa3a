-- What an API key grants, and beside it the state of its tenant's corpus: the two reads that every ask begins with, in one.
--
-- The key is looked up by the caller's role, which sees the one whose hash is presented. What is its tenant's is read by the
-- tenant's role: from there on, until the transaction ends, the call is `rag_tenant` and that tenant's, and what Postgres then
-- says of the reader is what its policies go by. A key that was revoked or has ended opens nothing: its facts are all there is.
CREATE FUNCTION rag_tower.resolve_ask(sha256 bytea)
    RETURNS TABLE (key_id uuid, tenant_id uuid, slug text, tenant_status text, role text, branches uuid[],
                   expires_at timestamptz, revoked_at timestamptz,
                   reader text, tenant_setting text, version bigint, updated_at timestamptz)
    LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    -- what is assigned is computed at once, where a statement of its own would be a query
    said text;
BEGIN
    said := pg_catalog.set_config('rag.key_hash', pg_catalog.encode(sha256, 'hex'), true);
    SELECT k.id, k.tenant_id, k.role, k.branches, k.expires_at, k.revoked_at
        INTO key_id, tenant_id, role, branches, expires_at, revoked_at
        FROM rag_tower.api_keys k WHERE k.hash = sha256;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF revoked_at IS NULL AND coalesce(expires_at > pg_catalog.now(), true) THEN
        said := pg_catalog.set_config('role', 'rag_tenant', true);
        said := pg_catalog.set_config('rag.tenant_id', tenant_id::text, true);
        SELECT t.slug, t.status, v.version, v.updated_at INTO slug, tenant_status, version, updated_at
            FROM rag_tower.tenants t LEFT JOIN rag_tower.corpora v ON v.tenant_id = t.id AND t.status = 'active'
            WHERE t.id = resolve_ask.tenant_id AND NOT t.synthetic;
        reader := current_user;
        tenant_setting := left(pg_catalog.current_setting('rag.tenant_id', true), 64);
    ELSE
        SELECT t.slug, t.status INTO slug, tenant_status FROM rag_tower.tenants t WHERE t.id = resolve_ask.tenant_id;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION rag_tower.resolve_ask(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.resolve_ask(bytea) TO rag_resolver;

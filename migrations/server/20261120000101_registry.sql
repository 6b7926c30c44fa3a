-- Who may ask: tenants, their branches and keys, what has been revoked, and the owner's logins.
--
-- This set follows the trace set and needs the roles that the bootstrap creates first: rag_tenant,
-- rag_writer, rag_resolver, rag_owner and rag_jobs. None of them logs in, owns a table or bypasses
-- row-level security. A table is granted to a role by name; nothing is granted to PUBLIC.

GRANT USAGE ON SCHEMA rag_tower TO rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs;

CREATE TABLE rag_tower.tenants (
    id          uuid        NOT NULL PRIMARY KEY,
    slug        text        NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name        text        NOT NULL,
    status      text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'archived')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rag_tower.branches (
    tenant_id   uuid        NOT NULL REFERENCES rag_tower.tenants (id),
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE rag_tower.api_keys (
    id            uuid        NOT NULL PRIMARY KEY,
    tenant_id     uuid        NOT NULL REFERENCES rag_tower.tenants (id),
    -- SHA-256 of the key; the key itself is shown once, when it is made
    hash          bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name          text        NOT NULL DEFAULT '',
    role          text        NOT NULL CHECK (role IN ('member', 'agent', 'admin')),
    -- null grants every branch, an empty array grants none
    branches      uuid[],
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_keys_tenant ON rag_tower.api_keys (tenant_id);

-- Tenant tokens that were revoked before their time; a row may go once the token has expired.
CREATE TABLE rag_tower.revoked_tokens (
    tenant_id   uuid        NOT NULL,
    jti         text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, jti)
);

-- What a tenant has configured: structured course data and its routes. `version` counts the changes.
CREATE TABLE rag_tower.tenant_settings (
    tenant_id   uuid        NOT NULL PRIMARY KEY,
    courses     jsonb       NOT NULL DEFAULT '{}',
    routes      jsonb       NOT NULL DEFAULT '{}',
    version     bigint      NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- The owner's live logins. They belong to no tenant: the owner's role alone reaches them.
CREATE TABLE rag_tower.owner_sessions (
    jti         text        NOT NULL PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

ALTER TABLE rag_tower.tenants         ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.tenants         FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.branches        ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.branches        FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.api_keys        ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.api_keys        FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.revoked_tokens  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.revoked_tokens  FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.tenant_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.tenant_settings FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.owner_sessions  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.owner_sessions  FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON rag_tower.tenants
    USING      (id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.branches
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.api_keys
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.revoked_tokens
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.tenant_settings
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

-- The resolver sees the one key whose hash was presented and that key's tenant, nothing else.
CREATE POLICY presented_key ON rag_tower.api_keys FOR SELECT TO rag_resolver
    USING (hash = decode(nullif(current_setting('rag.key_hash', true), ''), 'hex'));
CREATE POLICY presented_key ON rag_tower.tenants FOR SELECT TO rag_resolver
    USING (id IN (SELECT k.tenant_id FROM rag_tower.api_keys k)
           OR slug = nullif(current_setting('rag.slug', true), ''));

-- The owner of the platform.
CREATE POLICY owner_all ON rag_tower.tenants         TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.branches        TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.api_keys        TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.revoked_tokens  TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.tenant_settings TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.owner_sessions  TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_reads ON rag_tower.request_traces  FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.user_feedback   FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.handoff_tickets FOR SELECT TO rag_owner USING (true);

GRANT SELECT ON rag_tower.tenants, rag_tower.branches TO rag_tenant;
GRANT SELECT, INSERT, UPDATE ON rag_tower.tenant_settings TO rag_tenant;
GRANT SELECT ON rag_tower.request_traces TO rag_tenant;
GRANT SELECT, INSERT, UPDATE ON rag_tower.user_feedback, rag_tower.handoff_tickets TO rag_tenant;

GRANT SELECT (id, tenant_id, hash, role, branches, expires_at, revoked_at) ON rag_tower.api_keys TO rag_resolver;
GRANT SELECT (id, slug, status) ON rag_tower.tenants TO rag_resolver;
GRANT SELECT (tenant_id, jti) ON rag_tower.revoked_tokens TO rag_resolver;

GRANT SELECT, INSERT, UPDATE ON rag_tower.tenants, rag_tower.branches, rag_tower.api_keys, rag_tower.tenant_settings
    TO rag_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.revoked_tokens, rag_tower.owner_sessions TO rag_owner;
GRANT SELECT ON rag_tower.request_traces, rag_tower.user_feedback, rag_tower.handoff_tickets TO rag_owner;

SELECT rag_tower.allow_trace_writer('rag_writer');

-- Facts of the key with this hash; no row when there is none. Whether it still counts is the caller's to say.
-- It runs with the caller's rights: the policies above are what it may see.
CREATE FUNCTION rag_tower.resolve_api_key(key_hash bytea)
    RETURNS TABLE (key_id uuid, tenant_id uuid, slug text, tenant_status text, role text, branches uuid[],
                   expires_at timestamptz, revoked_at timestamptz)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('rag.key_hash', encode(key_hash, 'hex'), true);
    RETURN QUERY
        SELECT k.id, k.tenant_id, t.slug, t.status, k.role, k.branches, k.expires_at, k.revoked_at
        FROM rag_tower.api_keys k JOIN rag_tower.tenants t ON t.id = k.tenant_id
        WHERE k.hash = key_hash;
END
$$;
-- Facts about the tenant that a verified token names; no row when there is no such tenant.
CREATE FUNCTION rag_tower.resolve_token(token_tenant uuid, token_jti text)
    RETURNS TABLE (slug text, tenant_status text, revoked boolean)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('rag.tenant_id', token_tenant::text, true);
    RETURN QUERY
        SELECT t.slug, t.status,
               EXISTS (SELECT FROM rag_tower.revoked_tokens r WHERE r.tenant_id = token_tenant AND r.jti = token_jti)
        FROM rag_tower.tenants t WHERE t.id = token_tenant;
END
$$;
-- The id of the tenant with this slug. A name, not a permission.
CREATE FUNCTION rag_tower.resolve_slug(wanted text) RETURNS uuid
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('rag.slug', wanted, true);
    RETURN (SELECT t.id FROM rag_tower.tenants t WHERE t.slug = wanted);
END
$$;
REVOKE ALL ON FUNCTION rag_tower.resolve_slug(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.resolve_slug(text) TO rag_resolver;
REVOKE ALL ON FUNCTION rag_tower.resolve_api_key(bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION rag_tower.resolve_token(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.resolve_api_key(bytea) TO rag_resolver;
GRANT EXECUTE ON FUNCTION rag_tower.resolve_token(uuid, text) TO rag_resolver;

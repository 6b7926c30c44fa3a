-- A tenant with an API key, in one transaction, as an administrator of the database:
--   psql --set=slug=acme --set=name='Acme Ltd' --set=key="$(openssl rand -hex 24)" --file=add-tenant.sql
-- Give the key to the tenant: only its hash is kept, and a key has at least 32 characters.
\set ON_ERROR_STOP on
WITH made AS (
    INSERT INTO rag_tower.tenants (id, slug, name) VALUES (gen_random_uuid(), :'slug', :'name') RETURNING id
)
INSERT INTO rag_tower.api_keys (id, tenant_id, hash, name, role)
SELECT gen_random_uuid(), made.id, sha256(convert_to(:'key', 'UTF8')), 'first', 'member' FROM made;

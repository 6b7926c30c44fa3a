-- Tenants that nobody is: the server asks in their name, to see whether tenants are kept apart.
--
-- They go through everything that other tenants go through, and count nowhere. No credential opens them: a key cannot be made
-- for one, and whoever resolves a key, a token or a slug does not see them.

ALTER TABLE rag_tower.tenants ADD COLUMN synthetic boolean NOT NULL DEFAULT false;

-- A key belongs to a tenant that is not synthetic. The column is always false: it is there to be compared.
ALTER TABLE rag_tower.tenants ADD CONSTRAINT tenants_synthetic UNIQUE (id, synthetic);
ALTER TABLE rag_tower.api_keys
    ADD COLUMN of_synthetic boolean NOT NULL GENERATED ALWAYS AS (false) STORED,
    ADD CONSTRAINT api_keys_of_real_tenants FOREIGN KEY (tenant_id, of_synthetic)
        REFERENCES rag_tower.tenants (id, synthetic);

-- The names are reserved from now on. A tenant that has one already keeps it, and the prober says that it cannot ask.
CREATE POLICY reserved_names ON rag_tower.tenants AS RESTRICTIVE FOR INSERT
    WITH CHECK (synthetic OR slug NOT IN ('canary-a', 'canary-b'));

GRANT SELECT (synthetic) ON rag_tower.tenants TO rag_resolver;
CREATE POLICY real_tenants ON rag_tower.tenants AS RESTRICTIVE FOR SELECT TO rag_resolver USING (NOT synthetic);

-- Which questions without an answer the owner has taken care of.

-- A gap is a question of a tenant, whatever its case and marks, by a hash of its text. A row says that it was closed; asked
-- after that, it is open again.
CREATE TABLE rag_tower.gap_resolutions (
    tenant_id   uuid        NOT NULL,
    key         uuid        NOT NULL,
    note        text,
    resolved_at timestamptz NOT NULL DEFAULT now(),
    -- the name that was logged in
    resolved_by text        NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

ALTER TABLE rag_tower.gap_resolutions ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.gap_resolutions FORCE  ROW LEVEL SECURITY;

CREATE POLICY owner_all ON rag_tower.gap_resolutions TO rag_owner USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.gap_resolutions TO rag_owner;

-- What can be asked about: documents, their chunks, and the counts that keyword search needs.
--
-- Postgres holds the text; every vector index is derived from these tables and can be rebuilt from them.

-- One row per tenant that has ever ingested. `version` grows by one with each change of its documents.
-- It is the row that orders the writers of one tenant: each change locks it first.
CREATE TABLE rag_tower.corpora (
    tenant_id   uuid        NOT NULL PRIMARY KEY,
    version     bigint      NOT NULL DEFAULT 0,
    documents   bigint      NOT NULL DEFAULT 0,
    chunks      bigint      NOT NULL DEFAULT 0,
    tokens      bigint      NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rag_tower.documents (
    tenant_id        uuid        NOT NULL,
    id               uuid        NOT NULL,
    -- null: visible to every branch
    branch_id        uuid,
    file_name        text        NOT NULL,
    title            text        NOT NULL,
    labels           jsonb       NOT NULL DEFAULT '{}',
    -- the corpus version that this state belongs to, and the one that the vector index has on disk
    version          bigint      NOT NULL,
    indexed_version  bigint      NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- a removed document stays as a row without chunks until the vector index has seen its removal
    deleted_at       timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- what start-up has to heal: nothing, nearly always
CREATE INDEX documents_behind ON rag_tower.documents (tenant_id) WHERE indexed_version < version;

CREATE TABLE rag_tower.chunks (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    document_id   uuid        NOT NULL,
    -- the document's, repeated so that a hit's origin is read from one row
    branch_id     uuid,
    -- position inside the document, from 0
    seq           integer     NOT NULL CHECK (seq >= 0),
    text          text        NOT NULL,
    -- the terms (unsigned 32-bit ids) that occur in it, how often each does, and the sum of those counts
    terms         bigint[]    NOT NULL,
    counts        bigint[]    NOT NULL CHECK (cardinality(counts) = cardinality(terms)),
    token_count   bigint      NOT NULL CHECK (token_count >= 0),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, document_id, seq),
    FOREIGN KEY (tenant_id, document_id) REFERENCES rag_tower.documents (tenant_id, id) ON DELETE CASCADE
);

-- In how many chunks of the tenant a term occurs. Per tenant, so that nobody's documents touch another's ranking.
CREATE TABLE rag_tower.document_frequencies (
    tenant_id   uuid    NOT NULL,
    term        bigint  NOT NULL,
    chunks      bigint  NOT NULL CHECK (chunks >= 0),
    PRIMARY KEY (tenant_id, term)
);

ALTER TABLE rag_tower.corpora              ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.corpora              FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.documents            ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.documents            FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.chunks               ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.chunks               FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.document_frequencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.document_frequencies FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON rag_tower.corpora
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.documents
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.chunks
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);
CREATE POLICY tenant_isolation ON rag_tower.document_frequencies
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

-- The jobs role finds out *whose* index is behind; what is in it, it reads as that tenant.
CREATE POLICY jobs_find ON rag_tower.corpora   FOR SELECT TO rag_jobs USING (true);
CREATE POLICY jobs_find ON rag_tower.documents FOR SELECT TO rag_jobs USING (indexed_version < version);
CREATE POLICY owner_reads ON rag_tower.corpora   FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.documents FOR SELECT TO rag_owner USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.documents, rag_tower.chunks, rag_tower.document_frequencies TO rag_tenant;
GRANT SELECT, INSERT, UPDATE ON rag_tower.corpora TO rag_tenant;
GRANT SELECT (tenant_id) ON rag_tower.corpora TO rag_jobs;
GRANT SELECT (tenant_id, version, indexed_version) ON rag_tower.documents TO rag_jobs;
GRANT SELECT ON rag_tower.corpora, rag_tower.documents TO rag_owner;

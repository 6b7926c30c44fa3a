-- What a conversation is remembered by. Session ids are made by the server and are unique among all tenants, so
-- that a session can never be continued under another tenant.

CREATE TABLE rag_tower.chat_sessions (
    id                      uuid        NOT NULL PRIMARY KEY,
    tenant_id               uuid        NOT NULL,
    subject                 text,
    entity_memory           jsonb       NOT NULL DEFAULT '{}',
    rolling_summary         text        NOT NULL DEFAULT '',
    recent_messages_buffer  jsonb       NOT NULL DEFAULT '[]',
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX chat_sessions_updated ON rag_tower.chat_sessions (tenant_id, updated_at);

ALTER TABLE rag_tower.chat_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.chat_sessions FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON rag_tower.chat_sessions
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.chat_sessions TO rag_tenant;

-- The tables that a chat request of the FastAPI design touches.
CREATE TABLE tenants (
    tenant_id  uuid PRIMARY KEY,
    name       text NOT NULL
);
CREATE TABLE api_keys (
    key_hash   bytea PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants
);
CREATE TABLE chunks (
    chunk_id   uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    file_name  text NOT NULL,
    content    text NOT NULL
);
CREATE INDEX ON chunks (tenant_id);
CREATE TABLE chat_sessions (
    session_id             uuid PRIMARY KEY,
    tenant_id              uuid NOT NULL,
    entity_memory          jsonb NOT NULL DEFAULT '{}',
    rolling_summary        text NOT NULL DEFAULT '',
    recent_messages_buffer jsonb NOT NULL DEFAULT '[]',
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE request_traces (
    trace_id      uuid PRIMARY KEY,
    ts            timestamptz NOT NULL DEFAULT now(),
    tenant_id     uuid NOT NULL,
    route         text NOT NULL,
    status        text NOT NULL,
    latency_ms    double precision NOT NULL,
    sources       jsonb NOT NULL,
    tool_metadata jsonb NOT NULL,
    error         text,
    question      text NOT NULL,
    answer        text NOT NULL
);
CREATE INDEX ON request_traces (ts);
CREATE INDEX ON request_traces (tenant_id);
CREATE INDEX ON request_traces (route);

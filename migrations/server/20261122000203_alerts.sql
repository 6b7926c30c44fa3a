-- What the owner wants to be told of, and what has been told.

CREATE TABLE rag_tower.alerts (
    id           uuid        NOT NULL PRIMARY KEY,
    name         text        NOT NULL,
    metric       text        NOT NULL,
    -- null: of all of them together
    tenant_id    uuid        REFERENCES rag_tower.tenants (id),
    route        text,
    window_min   integer     NOT NULL CHECK (window_min BETWEEN 1 AND 10080),
    comparison   text        NOT NULL CHECK (comparison IN ('above', 'below')),
    threshold    float8      NOT NULL,
    -- a rate of fewer asks says nothing
    min_requests bigint      NOT NULL CHECK (min_requests >= 0),
    -- an address with whatever secret is in it: read by the job that calls it, never shown
    webhook      text,
    enabled      boolean     NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- counts the changes, so that what was judged by an older rule is not kept
    version      bigint      NOT NULL DEFAULT 1,
    state        text        NOT NULL DEFAULT 'no_data' CHECK (state IN ('ok', 'firing', 'no_data')),
    since        timestamptz NOT NULL DEFAULT now(),
    last_value   float8,
    evaluated_at timestamptz
);

-- What has become of an alert, and whether its webhook was told. Rows wait here until they are delivered, so that a restart
-- loses none.
CREATE TABLE rag_tower.alert_events (
    -- a UUIDv7
    id           uuid        NOT NULL PRIMARY KEY,
    ts           timestamptz NOT NULL DEFAULT now(),
    alert_id     uuid        NOT NULL REFERENCES rag_tower.alerts (id) ON DELETE CASCADE,
    kind         text        NOT NULL CHECK (kind IN ('firing', 'resolved', 'no_data', 'test')),
    value        float8,
    threshold    float8      NOT NULL,
    attempts     integer     NOT NULL DEFAULT 0,
    -- null: nothing is left to do
    next_attempt timestamptz,
    -- of the last attempt
    attempted_at timestamptz,
    ok           boolean,
    status       integer,
    error        text
);
CREATE INDEX alert_events_newest ON rag_tower.alert_events (alert_id, ts DESC, id DESC);
CREATE INDEX alert_events_waiting ON rag_tower.alert_events (next_attempt) WHERE next_attempt IS NOT NULL;

ALTER TABLE rag_tower.alerts       ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.alerts       FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.alert_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.alert_events FORCE  ROW LEVEL SECURITY;

CREATE POLICY owner_all ON rag_tower.alerts       TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON rag_tower.alert_events TO rag_owner USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.alerts, rag_tower.alert_events TO rag_owner;

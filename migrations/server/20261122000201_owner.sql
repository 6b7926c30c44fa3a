-- What the owner of the platform does, and what is remembered of it.

-- Every change by the owner, every look at what is masked, every login. Rows are added and never changed: nobody is granted
-- more, nobody has a policy for more, and the time is the database's own.
CREATE TABLE rag_tower.audit_log (
    -- a UUIDv7
    id          uuid        NOT NULL PRIMARY KEY,
    ts          timestamptz NOT NULL DEFAULT now(),
    -- the name that was logged in
    who         text        NOT NULL,
    -- what was done, such as handoff.reveal
    action      text        NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    -- what it was done to: an id or a name
    target      text,
    -- whose that is; null for what is nobody's
    tenant_id   uuid,
    detail      jsonb       NOT NULL DEFAULT '{}',
    -- the address that the request came from
    client      text
);
CREATE INDEX audit_log_newest ON rag_tower.audit_log (ts DESC, id DESC);
CREATE INDEX audit_log_action ON rag_tower.audit_log (action, ts DESC, id DESC);

-- What became of a ticket: a change of its state, a note, or both. Rows are added and never changed.
CREATE TABLE rag_tower.handoff_history (
    -- a UUIDv7
    id          uuid        NOT NULL PRIMARY KEY,
    ts          timestamptz NOT NULL DEFAULT now(),
    tenant_id   uuid        NOT NULL,
    ticket_id   uuid        NOT NULL REFERENCES rag_tower.handoff_tickets (id) ON DELETE CASCADE,
    who         text        NOT NULL,
    from_status text        CHECK (from_status IN ('new', 'contacted', 'closed')),
    to_status   text        CHECK (to_status IN ('new', 'contacted', 'closed')),
    note        text,
    CHECK ((from_status IS NULL) = (to_status IS NULL)),
    CHECK (to_status IS NOT NULL OR note IS NOT NULL)
);
CREATE INDEX handoff_history_ticket ON rag_tower.handoff_history (ticket_id, ts, id);

-- Whether somebody has looked at an opinion. It counts for the opinion as it was then.
CREATE TABLE rag_tower.feedback_reviews (
    feedback_id uuid        NOT NULL PRIMARY KEY REFERENCES rag_tower.user_feedback (id) ON DELETE CASCADE,
    tenant_id   uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('open', 'done')),
    note        text,
    reviewed_at timestamptz NOT NULL DEFAULT now(),
    reviewed_by text        NOT NULL
);
CREATE INDEX user_feedback_newest ON rag_tower.user_feedback (ts DESC, id DESC);

-- What the owner looks at often: a screen and the query of its address.
CREATE TABLE rag_tower.saved_views (
    id          uuid        NOT NULL PRIMARY KEY,
    screen      text        NOT NULL,
    name        text        NOT NULL,
    query       text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (screen, name)
);

ALTER TABLE rag_tower.audit_log        ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.audit_log        FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.handoff_history  ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.handoff_history  FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.feedback_reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.feedback_reviews FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.saved_views      ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.saved_views      FORCE  ROW LEVEL SECURITY;

CREATE POLICY owner_reads   ON rag_tower.audit_log       FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_appends ON rag_tower.audit_log       FOR INSERT TO rag_owner WITH CHECK (true);
CREATE POLICY owner_reads   ON rag_tower.handoff_history FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_appends ON rag_tower.handoff_history FOR INSERT TO rag_owner WITH CHECK (true);
CREATE POLICY owner_all     ON rag_tower.feedback_reviews TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all     ON rag_tower.saved_views      TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_moves   ON rag_tower.handoff_tickets FOR UPDATE TO rag_owner USING (true) WITH CHECK (true);

GRANT SELECT, INSERT (id, who, action, target, tenant_id, detail, client) ON rag_tower.audit_log TO rag_owner;
GRANT SELECT, INSERT (id, tenant_id, ticket_id, who, from_status, to_status, note) ON rag_tower.handoff_history
    TO rag_owner;
GRANT SELECT, INSERT, UPDATE ON rag_tower.feedback_reviews TO rag_owner;
GRANT SELECT, INSERT, DELETE ON rag_tower.saved_views TO rag_owner;
GRANT UPDATE (status, updated_at) ON rag_tower.handoff_tickets TO rag_owner;

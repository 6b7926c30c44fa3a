-- What models cost, from when on, and what is still to be priced again since that changed.

CREATE TABLE rag_tower.prices (
    -- a UUIDv7
    id                  uuid        NOT NULL PRIMARY KEY,
    model               text        NOT NULL CHECK (model <> ''),
    -- it holds until the next of the model begins
    effective_from      timestamptz NOT NULL,
    -- US dollars for a million tokens
    input_per_million   numeric     NOT NULL CHECK (input_per_million >= 0),
    output_per_million  numeric     NOT NULL CHECK (output_per_million >= 0),
    note                text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model, effective_from)
);

-- Asks of a model, from a moment on and before another, whose cost has to be worked out again. The job goes through them in
-- their order, and `at` and `trace_id` are how far it is.
CREATE TABLE rag_tower.repricings (
    id          uuid        NOT NULL PRIMARY KEY,
    model       text        NOT NULL,
    at          timestamptz NOT NULL,
    trace_id    uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    until       timestamptz NOT NULL,
    done        bigint      NOT NULL DEFAULT 0,
    made_at     timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE rag_tower.prices     ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.prices     FORCE  ROW LEVEL SECURITY;
ALTER TABLE rag_tower.repricings ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.repricings FORCE  ROW LEVEL SECURITY;

CREATE POLICY owner_all  ON rag_tower.prices     TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all  ON rag_tower.repricings TO rag_owner USING (true) WITH CHECK (true);
CREATE POLICY jobs_price ON rag_tower.prices     FOR SELECT TO rag_jobs USING (true);
CREATE POLICY jobs_price ON rag_tower.repricings TO rag_jobs USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, DELETE ON rag_tower.prices TO rag_owner;
GRANT SELECT, INSERT ON rag_tower.repricings TO rag_owner;
GRANT SELECT ON rag_tower.prices TO rag_jobs;
GRANT SELECT, UPDATE, DELETE ON rag_tower.repricings TO rag_jobs;

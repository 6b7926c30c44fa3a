-- A month of traffic that nobody made, to look at: what there is of it, and how it goes away again.
--
-- Such a row is marked, and nothing else can be deleted: an ask by `request_id` and `tool_metadata`, an opinion by its
-- subject, a ticket by `meta`. None of the four can be set from outside together with a session of the demo.

CREATE TABLE rag_tower.demo_data (
    one     boolean     PRIMARY KEY DEFAULT true CHECK (one),
    state   text        NOT NULL CHECK (state IN ('filling', 'there', 'removing')),
    -- the rows are those of so many days before this moment; with the program they say which rows there are
    until   timestamptz NOT NULL,
    days    integer     NOT NULL CHECK (days BETWEEN 1 AND 366),
    -- asks in all, and how many are done: written, or removed
    rows    bigint      NOT NULL CHECK (rows >= 0),
    done    bigint      NOT NULL DEFAULT 0,
    -- who is at it, and when that was last seen; nobody is when it was long ago
    worker  uuid,
    seen_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE rag_tower.demo_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag_tower.demo_data FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner_all ON rag_tower.demo_data TO rag_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.demo_data TO rag_owner;

-- for the function below, which runs as the owner of the tables; to that owner the marked rows are all there is
CREATE POLICY demo_rows ON rag_tower.request_traces TO CURRENT_USER
    USING      (request_id LIKE 'demo-%' AND tool_metadata @> '{"demo": true}')
    WITH CHECK (request_id LIKE 'demo-%' AND tool_metadata @> '{"demo": true}');
CREATE POLICY demo_rows ON rag_tower.user_feedback TO CURRENT_USER
    USING (subject = 'demo-data') WITH CHECK (subject = 'demo-data');
CREATE POLICY demo_rows ON rag_tower.handoff_tickets TO CURRENT_USER
    USING (meta @> '{"demo": true}') WITH CHECK (meta @> '{"demo": true}');

-- Removes the marked rows of `since .. until`, with opinions on asks whose ids are in `first .. last`, and returns how many
-- asks that were. The conditions stand here too, for an owner that policies do not bind.
CREATE FUNCTION rag_tower.remove_demo(since timestamptz, until timestamptz, first uuid, last uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM rag_tower.user_feedback f
    WHERE f.subject = 'demo-data' AND f.trace_id >= first AND f.trace_id < last;
    DELETE FROM rag_tower.handoff_tickets h
    WHERE h.meta @> '{"demo": true}' AND h.ts >= since AND h.ts < until;
    DELETE FROM rag_tower.request_traces r
    WHERE r.request_id LIKE 'demo-%' AND r.tool_metadata @> '{"demo": true}' AND r.ts >= since AND r.ts < until;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
REVOKE ALL ON FUNCTION rag_tower.remove_demo(timestamptz, timestamptz, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag_tower.remove_demo(timestamptz, timestamptz, uuid, uuid) TO rag_jobs;

-- Who reads the rollups, and who folds them: a tenant its own, the owner all, the jobs role folds.

GRANT SELECT ON rag_tower.trace_totals, rag_tower.trace_rollups TO rag_tenant;

GRANT SELECT ON rag_tower.rollup_deltas, rag_tower.system_totals, rag_tower.system_rollups, rag_tower.trace_totals,
    rag_tower.trace_rollups TO rag_owner;
GRANT EXECUTE ON FUNCTION rag_tower.trace_time(uuid) TO rag_owner;
CREATE POLICY owner_reads ON rag_tower.rollup_deltas  FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.system_totals  FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.system_rollups FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.trace_totals   FOR SELECT TO rag_owner USING (true);
CREATE POLICY owner_reads ON rag_tower.trace_rollups  FOR SELECT TO rag_owner USING (true);

SELECT rag_tower.allow_rollup_folder('rag_jobs');

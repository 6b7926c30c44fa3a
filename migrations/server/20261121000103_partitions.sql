-- Who keeps partitions, and who may know since when rows are kept.

GRANT SELECT ON rag_tower.trace_horizon TO rag_owner;
CREATE POLICY owner_reads ON rag_tower.trace_horizon FOR SELECT TO rag_owner USING (true);

-- in a new schema they were not there yet when the trace tables were made
SELECT rag_tower.allow_rollup_folder('rag_jobs'), rag_tower.allow_partition_keeper('rag_jobs');

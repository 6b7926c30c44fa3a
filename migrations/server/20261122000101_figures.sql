-- Statuses over time, for the owner's charts.
--
-- Totals count FAIL_CLOSED among the errors, and OVER_BUDGET among what was refused. Both are rare: an index of them alone
-- tells them apart without reading the rollups of every route, channel and model of a year. It holds no column that a fold
-- changes.

CREATE INDEX system_rollups_rare ON rag_tower.system_rollups (level, bucket)
    WHERE status IN ('FAIL_CLOSED', 'OVER_BUDGET');
CREATE INDEX trace_rollups_rare ON rag_tower.trace_rollups (tenant_id, level, bucket)
    WHERE status IN ('FAIL_CLOSED', 'OVER_BUDGET');

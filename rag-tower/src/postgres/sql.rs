//! Every statement that is sent while serving, in one place, so that one test can prepare them all.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// The beginning of every transaction, in one round trip: role, tenant and whether it is the writer, for this transaction
/// only. `role` is `None` for a login that has no roles to become.
///
/// It is sent as text: a name of ours and a UUID's digits, nothing that anyone wrote.
pub(super) fn begin(role: Option<&'static str>, tenant: Option<Uuid>, writer: bool) -> AssertSqlSafe<String> {
    let role = role.map(|role| format!("SET LOCAL ROLE {role}; ")).unwrap_or_default();
    let tenant = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
    let writer = if writer { "on" } else { "" };
    AssertSqlSafe(format!(
        "BEGIN; {role}SET LOCAL rag.tenant_id = '{tenant}'; SET LOCAL rag.writer = '{writer}'"
    ))
}

/// Defines the statements, and a list of them with the role each runs as.
macro_rules! statements {
    ($($(#[$doc:meta])* $role:ident $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $sql;)*

        /// Role and text of every statement; the empty role is the login itself.
        pub(super) const ALL: &[(&str, &str)] = &[$((roles::$role, $name)),*];
    };
}

/// Names of roles, for the list.
mod roles {
    pub(super) const LOGIN: &str = "";
    pub(super) const TENANT: &str = "rag_tenant";
    pub(super) const WRITER: &str = "rag_writer";
    pub(super) const RESOLVER: &str = "rag_resolver";
    pub(super) const JOBS: &str = "rag_jobs";
}

statements! {
    LOGIN PING = "SELECT 1";
    LOGIN LOGIN_BYPASSES =
        "SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = session_user";
    WRITER ENSURE_PARTITION = "SELECT rag_tower.ensure_partitions($1, 2)";
    WRITER INSERT_TRACES =
        "INSERT INTO rag_tower.request_traces (
             trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish, reason,
             question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_estimate, llm_provider,
             llm_model, confidence, error_kind, error_stage, error, degraded, sources, tool_metadata, spans, hits)
         SELECT trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish, reason,
             question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_estimate::numeric,
             llm_provider, llm_model, confidence, error_kind, error_stage, error, degraded::jsonb, sources::jsonb,
             tool_metadata::jsonb, spans::jsonb, hits::jsonb
         FROM UNNEST(
             $1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[],
             $17::bigint[], $18::bigint[], $19::boolean[], $20::float8[], $21::text[], $22::text[], $23::real[],
             $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[])
         AS r (trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish, reason,
             question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_estimate, llm_provider,
             llm_model, confidence, error_kind, error_stage, error, degraded, sources, tool_metadata, spans, hits)
         ON CONFLICT DO NOTHING RETURNING trace_id";

    RESOLVER RESOLVE_KEY = "SELECT * FROM rag_tower.resolve_api_key($1)";
    RESOLVER RESOLVE_TOKEN = "SELECT * FROM rag_tower.resolve_token($1, $2)";
    RESOLVER RESOLVE_SLUG = "SELECT rag_tower.resolve_slug($1)";

    /// Locks the tenant's corpus against its other writers until the transaction ends.
    TENANT NEXT_VERSION =
        "INSERT INTO rag_tower.corpora AS c (tenant_id, version) VALUES ($1, 1)
         ON CONFLICT (tenant_id) DO UPDATE SET version = c.version + 1, updated_at = now() RETURNING version";
    TENANT PUT_DOCUMENT =
        "INSERT INTO rag_tower.documents AS d (tenant_id, id, branch_id, file_name, title, labels, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant_id, id) DO UPDATE SET branch_id = excluded.branch_id, file_name = excluded.file_name,
             title = excluded.title, labels = excluded.labels, version = excluded.version, updated_at = now(),
             deleted_at = NULL";
    TENANT ENTOMB_DOCUMENT =
        "UPDATE rag_tower.documents SET version = $3, deleted_at = now(), updated_at = now()
         WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    TENANT UNCOUNT_TERMS =
        "UPDATE rag_tower.document_frequencies d SET chunks = d.chunks - gone.chunks
         FROM (SELECT t.term, count(*) AS chunks FROM rag_tower.chunks c, unnest(c.terms) AS t (term)
               WHERE c.tenant_id = $1 AND c.document_id = $2 GROUP BY t.term) gone
         WHERE d.tenant_id = $1 AND d.term = gone.term";
    TENANT DELETE_CHUNKS = "DELETE FROM rag_tower.chunks WHERE tenant_id = $1 AND document_id = $2";
    TENANT INSERT_CHUNKS =
        "INSERT INTO rag_tower.chunks (tenant_id, id, document_id, branch_id, seq, text, terms, counts, token_count)
         SELECT $1, id, $2, $3, seq, text,
                ARRAY(SELECT (p ->> 0)::bigint FROM jsonb_array_elements(terms) AS p),
                ARRAY(SELECT (p ->> 1)::bigint FROM jsonb_array_elements(terms) AS p), token_count
         FROM UNNEST($4::uuid[], $5::integer[], $6::text[], $7::jsonb[], $8::bigint[]) AS c (id, seq, text, terms, token_count)";
    TENANT COUNT_TERMS =
        "INSERT INTO rag_tower.document_frequencies AS d (tenant_id, term, chunks)
         SELECT $1, t.term, count(*) FROM rag_tower.chunks c, unnest(c.terms) AS t (term)
         WHERE c.tenant_id = $1 AND c.document_id = $2 GROUP BY t.term ORDER BY t.term
         ON CONFLICT (tenant_id, term) DO UPDATE SET chunks = d.chunks + excluded.chunks";
    TENANT DROP_UNUSED_TERMS = "DELETE FROM rag_tower.document_frequencies WHERE tenant_id = $1 AND chunks = 0";
    TENANT RECOUNT_CORPUS =
        "UPDATE rag_tower.corpora SET
             documents = (SELECT count(*) FROM rag_tower.documents d WHERE d.tenant_id = $1 AND d.deleted_at IS NULL),
             chunks = (SELECT count(*) FROM rag_tower.chunks c WHERE c.tenant_id = $1)
         WHERE tenant_id = $1";
    TENANT MARK_INDEXED =
        "UPDATE rag_tower.documents SET indexed_version = version WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    TENANT BURY_DOCUMENT =
        "DELETE FROM rag_tower.documents WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NOT NULL";
    TENANT FORGET_INDEX = "UPDATE rag_tower.documents SET indexed_version = 0 WHERE tenant_id = $1";
    TENANT BEHIND =
        "SELECT id, branch_id, file_name, title, labels, deleted_at IS NOT NULL FROM rag_tower.documents
         WHERE tenant_id = $1 AND indexed_version < version ORDER BY version LIMIT $2";
    TENANT CHUNKS_OF =
        "SELECT id, seq, text, terms, counts FROM rag_tower.chunks
         WHERE tenant_id = $1 AND document_id = $2 ORDER BY seq";
    TENANT COUNT_CHUNKS = "SELECT count(*) FROM rag_tower.chunks WHERE tenant_id = $1";
    TENANT PASSAGES =
        "SELECT c.id, c.document_id, c.branch_id, c.tenant_id, c.seq, d.title, d.file_name, c.text
         FROM rag_tower.chunks c JOIN rag_tower.documents d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
         WHERE c.tenant_id = $1 AND c.id = ANY ($2)";
    TENANT FREQUENCIES =
        "SELECT term, chunks FROM rag_tower.document_frequencies WHERE tenant_id = $1 AND term = ANY ($2)
         UNION ALL SELECT -1, chunks FROM rag_tower.corpora WHERE tenant_id = $1
         UNION ALL SELECT -2, version FROM rag_tower.corpora WHERE tenant_id = $1";
    /// Every term, when there are not too many: one more than the limit says that there are.
    TENANT VOCABULARY =
        "(SELECT term, chunks FROM rag_tower.document_frequencies WHERE tenant_id = $1 LIMIT $2)
         UNION ALL SELECT -1, chunks FROM rag_tower.corpora WHERE tenant_id = $1
         UNION ALL SELECT -2, version FROM rag_tower.corpora WHERE tenant_id = $1";
    JOBS TENANTS_WITH_DOCUMENTS = "SELECT tenant_id FROM rag_tower.corpora ORDER BY tenant_id";
    JOBS TENANTS_BEHIND =
        "SELECT DISTINCT tenant_id FROM rag_tower.documents WHERE indexed_version < version ORDER BY tenant_id";

    TENANT LOAD_SESSION =
        "SELECT tenant_id, entity_memory, rolling_summary, recent_messages_buffer FROM rag_tower.chat_sessions
         WHERE tenant_id = $1 AND id = $2";
    /// Writes sessions as they are after their first turns, or, where there is one, locks it and says what it holds. Another
    /// tenant's session violates the policy. Ids come sorted, so that two of these cannot wait for each other. The commit
    /// need not wait for the disk.
    TENANT OPEN_SESSIONS =
        "INSERT INTO rag_tower.chat_sessions AS s
             (id, tenant_id, subject, entity_memory, rolling_summary, recent_messages_buffer)
         SELECT id, $1, subject, entities::jsonb, summary, turns::jsonb
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS n (id, subject, entities, summary, turns)
         ON CONFLICT (id) DO UPDATE SET updated_at = now()
         RETURNING id, xmax = 0 AS new, tenant_id,
             CASE WHEN xmax = 0 THEN '{}' ELSE entity_memory END AS entity_memory,
             CASE WHEN xmax = 0 THEN '' ELSE rolling_summary END AS rolling_summary,
             CASE WHEN xmax = 0 THEN '[]' ELSE recent_messages_buffer END AS recent_messages_buffer,
             set_config('synchronous_commit', 'off', true)";
    TENANT SAVE_SESSIONS =
        "UPDATE rag_tower.chat_sessions s SET entity_memory = n.entities::jsonb, rolling_summary = n.summary,
             recent_messages_buffer = n.turns::jsonb, updated_at = now()
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::text[]) AS n (id, entities, summary, turns)
         WHERE s.tenant_id = $1 AND s.id = n.id";

    TENANT PUT_FEEDBACK =
        "INSERT INTO rag_tower.user_feedback (id, tenant_id, trace_id, subject, rating, comment)
         VALUES ($2, $1, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, trace_id, subject)
         DO UPDATE SET rating = excluded.rating, comment = excluded.comment, ts = now()";

    TENANT OPEN_TICKET =
        "INSERT INTO rag_tower.handoff_tickets AS t
             (id, tenant_id, branch_id, trace_id, session_id, user_id, phone, message, reason, meta)
         VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (tenant_id, session_id, reason) WHERE session_id IS NOT NULL AND status <> 'closed'
         DO UPDATE SET phone = coalesce(excluded.phone, t.phone), updated_at = now(),
             message = CASE WHEN excluded.message = '' THEN t.message ELSE excluded.message END,
             user_id = coalesce(excluded.user_id, t.user_id), meta = t.meta || excluded.meta
         RETURNING id, xmax = 0";

    TENANT LOAD_SETTINGS =
        "SELECT courses, routes, version FROM rag_tower.tenant_settings WHERE tenant_id = $1";
    TENANT SAVE_SETTINGS =
        "INSERT INTO rag_tower.tenant_settings AS s (tenant_id, courses, routes) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id) DO UPDATE SET courses = excluded.courses, routes = excluded.routes,
             version = s.version + 1, updated_at = now()
         RETURNING version";
}

//! Every statement that is sent while serving, in one place, so that one test can prepare them all.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// The beginning of every transaction, in one round trip: role, tenant and what it writes (`on` for traces, `fold` for
/// rollups, else nothing), for this transaction only. `role` is `None` for a login that has no roles to become.
///
/// It is sent as text: a name of ours and a UUID's digits, nothing that anyone wrote.
pub(super) fn begin(
    role: Option<&'static str>,
    tenant: Option<Uuid>,
    writer: &'static str,
    read_only: bool,
) -> AssertSqlSafe<String> {
    // what the owner reads is short however costly its plan looks: to compile it would take longer than to run it
    let access = if read_only { " READ ONLY; SET LOCAL jit = off" } else { "" };
    let role = role.map(|role| format!("SET LOCAL ROLE {role}; ")).unwrap_or_default();
    let tenant = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
    AssertSqlSafe(format!(
        "BEGIN{access}; {role}SET LOCAL rag.tenant_id = '{tenant}'; SET LOCAL rag.writer = '{writer}'"
    ))
}

/// The longest that a statement of this transaction may take from here on.
pub(super) fn statement_timeout(each: Duration) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SET LOCAL statement_timeout = {}", each.as_millis().clamp(1, 3_600_000)))
}

/// Defines the statements, and a list of them with the role each runs as.
macro_rules! statements {
    ($($(#[$doc:meta])* $role:ident $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $sql;)*

        /// Role and text of every statement; the empty role is the login itself.
        pub(super) const ALL: &[(&str, &str)] = &[$((roles::$role, $name)),*];
    };
}

/// What a rollup counts, in the order of `Count::ALL`.
macro_rules! counts {
    () => {
        "requests, errors, abstained, cancelled, limited, estimated, priced, input_tokens, output_tokens, cost_nanos,
             latency_us, ttft_us, feedback_up, feedback_down, handoffs"
    };
}

/// The columns of a delta, which are arrays.
macro_rules! entry {
    () => {
        concat!("bucket, tenant_id, route, status, channel, model, ", counts!(), ", latency, ttft")
    };
}

/// The entries of the deltas `d`, a row each.
macro_rules! entries {
    () => {
        concat!(
            "UNNEST(d.bucket, d.tenant_id, d.route, d.status, d.channel, d.model, d.requests, d.errors, d.abstained,
                 d.cancelled, d.limited, d.estimated, d.priced, d.input_tokens, d.output_tokens, d.cost_nanos,
                 d.latency_us, d.ttft_us, d.feedback_up, d.feedback_down, d.handoffs, d.latency, d.ttft) AS e (",
            entry!(),
            ")"
        )
    };
}

/// The rows of `$table` with the keys of seven arrays; `n` says which. A table without some of the keys leaves them out.
macro_rules! load {
    ($table:literal, $keys:literal) => {
        concat!(
            "SELECT n, ", counts!(), ", latency, ttft
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
                  WITH ORDINALITY AS k (level, bucket, tenant_id, route, status, channel, model, n)
             JOIN rag_tower.", $table, " t USING (", $keys, ")"
        )
    };
}

/// Writes rows of `$table` as they are now.
macro_rules! save {
    ($table:literal, $keys:literal) => {
        concat!(
            "INSERT INTO rag_tower.", $table, " (", $keys, ", ", counts!(), ", latency, ttft)
             SELECT ", $keys, ", ", counts!(), ", latency, ttft
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                  $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
                  $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],
                  $21::bigint[], $22::bigint[], $23::bytea[], $24::bytea[])
                  AS r (level, ", entry!(), ")
             ON CONFLICT (", $keys, ") DO UPDATE SET requests = excluded.requests, errors = excluded.errors,
                 abstained = excluded.abstained, cancelled = excluded.cancelled, limited = excluded.limited,
                 estimated = excluded.estimated, priced = excluded.priced, input_tokens = excluded.input_tokens,
                 output_tokens = excluded.output_tokens, cost_nanos = excluded.cost_nanos,
                 latency_us = excluded.latency_us, ttft_us = excluded.ttft_us, feedback_up = excluded.feedback_up,
                 feedback_down = excluded.feedback_down, handoffs = excluded.handoffs, latency = excluded.latency,
                 ttft = excluded.ttft"
        )
    };
}

/// That the facets are those asked for, which are these parameters.
macro_rules! alike {
    ($route:literal, $status:literal, $channel:literal, $model:literal) => {
        concat!(
            "(",
            $route,
            "::text IS NULL OR route = ",
            $route,
            ") AND (",
            $status,
            "::text IS NULL OR status = ",
            $status,
            ") AND (",
            $channel,
            "::text IS NULL OR channel = ",
            $channel,
            ") AND (",
            $model,
            "::text IS NULL OR model = ",
            $model,
            ")"
        )
    };
}

/// The buckets of `$table` within a segment `s`, as `t`. The planner does not know how few there are and would read the whole
/// table; the fence leaves it one index scan for each segment.
macro_rules! within {
    ($table:literal, $which:expr) => {
        concat!(
            " CROSS JOIN LATERAL (SELECT * FROM rag_tower.",
            $table,
            " t WHERE t.level = s.step AND t.bucket >= s.first AND t.bucket < s.last AND ",
            $which,
            " OFFSET 0) t"
        )
    };
}

/// Buckets of `$table` in segments of three arrays, by what they are told apart by. `$5` says whether the times to the first
/// token are of use.
macro_rules! ranged {
    ($from:expr, $table:literal, $tenant:literal, $facets:literal, $on:literal, $alike:expr) => {
        concat!(
            $from,
            "SELECT t.bucket, ",
            $tenant,
            ", ",
            $facets,
            ", ",
            counts!(),
            ", latency, CASE WHEN $5::boolean THEN ttft ELSE '' END
             FROM UNNEST($2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS s (step, first, last) ",
            $on,
            within!($table, $alike)
        )
    };
}

/// The asks of rare statuses in `$table`, by bucket, in segments of three arrays.
macro_rules! rare {
    ($table:literal, $of:literal) => {
        concat!(
            "SELECT t.bucket, t.status, t.requests
             FROM UNNEST($2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.",
            $table,
            " t ON t.level = s.step AND t.bucket >= s.first AND t.bucket < s.last
             WHERE t.status IN ('FAIL_CLOSED', 'OVER_BUDGET') AND ",
            $of
        )
    };
}

/// The asks of `$table` by status and model: how many, and of those without a price also the tokens.
macro_rules! kinds {
    ($table:literal, $of:literal) => {
        concat!(
            "SELECT t.status, t.model, sum(t.requests)::bigint, sum(t.requests - t.priced)::bigint,
                 sum(t.input_tokens * (t.requests - t.priced) / greatest(t.requests, 1))::bigint,
                 sum(t.output_tokens * (t.requests - t.priced) / greatest(t.requests, 1))::bigint
             FROM UNNEST($2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS s (step, first, last) ",
            within!($table, $of),
            " GROUP BY 1, 2"
        )
    };
}

/// What was used in `$table`, in segments of three arrays, by the stretch between the moments of a fourth that its bucket is
/// in, by tenant and model.
macro_rules! used {
    ($from:expr, $on:literal, $of:literal) => {
        concat!(
            $from,
            "SELECT width_bucket(t.bucket, $5::timestamptz[]), t.tenant_id, t.model, sum(t.requests)::bigint,
                 sum(t.estimated)::bigint, sum(t.priced)::bigint, sum(t.input_tokens)::bigint,
                 sum(t.output_tokens)::bigint, sum(t.cost_nanos)::bigint
             FROM UNNEST($2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS s (step, first, last) ",
            $on,
            within!("trace_rollups", concat!($of, " AND ", alike!("$6", "$7", "$8", "$9"))),
            " GROUP BY 1, 2, 3"
        )
    };
}

/// How many asks are in which buckets of `$table`, in segments of three arrays.
macro_rules! sliced {
    ($table:literal, $of:literal, $facets:literal, $alike:expr) => {
        concat!(
            "SELECT bucket, ",
            $facets,
            ", sum(requests)::bigint
             FROM UNNEST($2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.",
            $table,
            " t ON t.level = s.step AND t.bucket >= s.first AND t.bucket < s.last
             WHERE ",
            $of,
            " AND requests <> 0 AND ",
            $alike,
            " GROUP BY 1, 2, 3, 4, 5"
        )
    };
}

/// The tenants that have totals: one look-up for each, since an index that begins with the tenant is all there is.
macro_rules! known_tenants {
    () => {
        "WITH RECURSIVE known AS (
             (SELECT tenant_id FROM rag_tower.trace_totals ORDER BY tenant_id LIMIT 1)
             UNION ALL
             SELECT (SELECT n.tenant_id FROM rag_tower.trace_totals n WHERE n.tenant_id > k.tenant_id
                     ORDER BY n.tenant_id LIMIT 1)
             FROM known k WHERE k.tenant_id IS NOT NULL)"
    };
}

/// Feedback `f` whose rating the rollups do not have, as the index on it says.
macro_rules! unrolled {
    () => {
        "f.rolled IS DISTINCT FROM f.rating AND f.rolled IS DISTINCT FROM 0"
    };
}

/// That an ask `r` counts, as [`Channel::counts`](crate::Channel::counts) says.
macro_rules! counts_somewhere {
    () => {
        "r.channel <> 'canary'"
    };
}

/// The ask `r` that feedback `f` is about, of the same tenant, when it counts.
macro_rules! its_ask {
    ($of:literal) => {
        concat!(
            "rag_tower.request_traces r ON r.trace_id = ",
            $of,
            ".trace_id AND r.ts = rag_tower.trace_time(",
            $of,
            ".trace_id) AND r.tenant_id = ",
            $of,
            ".tenant_id AND ",
            counts_somewhere!()
        )
    };
}

/// What an ask `r` is told apart by.
macro_rules! facets {
    () => {
        "coalesce(r.route, '') AS route, coalesce(r.status, '') AS status, coalesce(r.channel, '') AS channel,
             coalesce(r.llm_model, '') AS model"
    };
}

/// Rolls feedback whose ask is such.
macro_rules! roll_feedback {
    ($asks:literal) => {
        concat!(
            "WITH late AS (
             SELECT f.id, f.rating, f.rolled, r.ts, r.tenant_id, ", facets!(), "
             FROM rag_tower.user_feedback f JOIN ", its_ask!("f"), "
             WHERE ", unrolled!(), " AND ", $asks, " ORDER BY f.ts LIMIT $1 FOR UPDATE OF f SKIP LOCKED),
         noted AS (
             UPDATE rag_tower.user_feedback f SET rolled = late.rating FROM late WHERE f.id = late.id)
         SELECT ts, tenant_id, route, status, channel, model, rating, coalesce(rolled, 0::smallint) FROM late"
        )
    };
}

/// Names of roles, for the list.
mod roles {
    pub(super) const LOGIN: &str = "";
    pub(super) const TENANT: &str = "rag_tenant";
    pub(super) const WRITER: &str = "rag_writer";
    pub(super) const RESOLVER: &str = "rag_resolver";
    pub(super) const JOBS: &str = "rag_jobs";
    pub(super) const OWNER: &str = "rag_owner";
}

statements! {
    LOGIN PING = "SELECT 1";
    LOGIN LOGIN_BYPASSES =
        "SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = session_user";
    WRITER ENSURE_PARTITION = "SELECT rag_tower.ensure_partitions($1, 2)";
    /// The arrays are taken apart side by side where rows are made. As a table in FROM, each would be copied to a table of its
    /// own first, which is an eighth of the work for a row.
    WRITER INSERT_TRACES =
        "INSERT INTO rag_tower.request_traces (
             trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish, reason,
             question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_estimate, llm_provider,
             llm_model, confidence, error_kind, error_stage, error, degraded, sources, tool_metadata, spans, hits, search_text,
             receipt)
         SELECT trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish, reason,
             question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_nanos * 0.000000001,
             llm_provider, llm_model, confidence, error_kind, error_stage, error, degraded::jsonb, sources::jsonb,
             tool_metadata::jsonb, spans::jsonb, hits::jsonb, search_text, receipt::jsonb
         FROM (SELECT
             unnest($1::uuid[]) AS trace_id, unnest($2::timestamptz[]) AS ts, unnest($3::uuid[]) AS tenant_id,
             unnest($4::uuid[]) AS branch_id, unnest($5::text[]) AS request_id, unnest($6::uuid[]) AS session_id,
             unnest($7::text[]) AS subject, unnest($8::text[]) AS channel, unnest($9::text[]) AS route,
             unnest($10::text[]) AS status, unnest($11::text[]) AS finish, unnest($12::text[]) AS reason,
             unnest($13::text[]) AS question, unnest($14::text[]) AS answer, unnest($15::bigint[]) AS latency_us,
             unnest($16::bigint[]) AS ttft_us, unnest($17::bigint[]) AS input_tokens,
             unnest($18::bigint[]) AS output_tokens, unnest($19::boolean[]) AS estimated,
             unnest($20::bigint[]) AS cost_nanos, unnest($21::text[]) AS llm_provider,
             unnest($22::text[]) AS llm_model, unnest($23::real[]) AS confidence, unnest($24::text[]) AS error_kind,
             unnest($25::text[]) AS error_stage, unnest($26::text[]) AS error, unnest($27::text[]) AS degraded,
             unnest($28::text[]) AS sources, unnest($29::text[]) AS tool_metadata, unnest($30::text[]) AS spans,
             unnest($31::text[]) AS hits, unnest($32::text[]) AS search_text,
             unnest($33::text[]) AS receipt) r
         ON CONFLICT DO NOTHING RETURNING trace_id";

    JOBS CLOSE_PARTITIONS = "SELECT rag_tower.close_partitions($1, $2)";
    WRITER INSERT_DELTA = concat!(
        "INSERT INTO rag_tower.rollup_deltas (", entry!(), ")
         VALUES ($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
             $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
             $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bytea[],
             $23::bytea[])");
    /// One folder at a time, whichever server it is in.
    JOBS FOLD_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('rag_tower.fold'))";
    JOBS TAKE_DELTAS = concat!(
        "WITH d AS (
             DELETE FROM rag_tower.rollup_deltas
             WHERE id IN (SELECT id FROM rag_tower.rollup_deltas ORDER BY id LIMIT $1) RETURNING *)
         SELECT d.id, e.* FROM d, ", entries!());
    JOBS LOAD_TRACE_ROLLUPS =
        load!("trace_rollups", "level, bucket, tenant_id, route, status, channel, model");
    JOBS LOAD_TRACE_TOTALS = load!("trace_totals", "level, bucket, tenant_id");
    JOBS LOAD_SYSTEM_ROLLUPS = load!("system_rollups", "level, bucket, route, status, channel, model");
    JOBS LOAD_SYSTEM_TOTALS = load!("system_totals", "level, bucket");
    JOBS SAVE_TRACE_ROLLUPS =
        save!("trace_rollups", "level, bucket, tenant_id, route, status, channel, model");
    JOBS SAVE_TRACE_TOTALS = save!("trace_totals", "level, bucket, tenant_id");
    JOBS SAVE_SYSTEM_ROLLUPS = save!("system_rollups", "level, bucket, route, status, channel, model");
    JOBS SAVE_SYSTEM_TOTALS = save!("system_totals", "level, bucket");
    /// What waits: how much, and for how many seconds.
    JOBS LAG =
        "SELECT (SELECT count(*) FROM (SELECT FROM rag_tower.rollup_deltas LIMIT 100000) d),
             (SELECT extract(epoch FROM clock_timestamp() - made_at)::float8 FROM rag_tower.rollup_deltas
              ORDER BY id LIMIT 1)";
    /// What the rollups do not have: when the asks began that feedback since a moment is about, as far as ids go that can be an
    /// ask's and one more than is of use; and whether there are tickets.
    JOBS LATE = concat!(
        "SELECT (SELECT coalesce(array_agg(at), '{}') FROM (
                     SELECT rag_tower.trace_time(f.trace_id) AS at FROM rag_tower.user_feedback f
                     WHERE ", unrolled!(), " AND f.ts >= $1 AND f.trace_id < $2 LIMIT $3 + 1) t),
             EXISTS (SELECT FROM rag_tower.handoff_tickets h WHERE NOT h.rolled)");
    /// Feedback on asks of these times that the rollups do not have and whose ask is there: what it was and is, and notes that
    /// they have it. Without the times the statement is planned over every partition.
    JOBS ROLL_FEEDBACK = roll_feedback!("r.ts = ANY ($2::timestamptz[])");
    /// The same of all feedback.
    JOBS SWEEP_FEEDBACK = roll_feedback!("true");
    /// Plans what follows in this transaction for its own parameters.
    JOBS PLAN_AGAIN = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)";
    /// Feedback whose ask has not come for a day is looked for no more …
    JOBS GIVE_UP_FEEDBACK = concat!(
        "UPDATE rag_tower.user_feedback f SET rolled = 0
         WHERE ", unrolled!(), " AND f.ts < now() - interval '1 day'
           AND NOT EXISTS (SELECT FROM rag_tower.request_traces r WHERE r.trace_id = f.trace_id
                           AND r.ts = rag_tower.trace_time(f.trace_id) AND r.tenant_id = f.tenant_id
                           AND ", counts_somewhere!(), ")");
    /// … until asks of that time do come.
    JOBS REVIVE_FEEDBACK =
        "UPDATE rag_tower.user_feedback SET rolled = NULL WHERE rolled = 0 AND trace_id >= $1 AND trace_id < $2";
    /// A ticket is opened before its ask is written; one whose ask does not come counts without its facets.
    JOBS ROLL_TICKETS = concat!(
        "WITH late AS (
             SELECT h.id, h.ts, h.tenant_id, ", facets!(), "
             FROM rag_tower.handoff_tickets h LEFT JOIN ", its_ask!("h"), "
             WHERE NOT h.rolled AND (h.trace_id IS NULL OR r.trace_id IS NOT NULL OR h.ts < now() - interval '1 hour')
             ORDER BY h.ts LIMIT $1 FOR UPDATE OF h SKIP LOCKED),
         noted AS (
             UPDATE rag_tower.handoff_tickets h SET rolled = true FROM late WHERE h.id = late.id)
         SELECT ts, tenant_id, route, status, channel, model FROM late");
    /// Sets prices, and says by how much each differs from the one before.
    JOBS REPRICE = concat!(
        "WITH old AS (
             SELECT r.trace_id, r.ts, r.tenant_id, ", facets!(), ", p.nanos,
                 (p.nanos IS NOT NULL)::integer::bigint - (r.cost_estimate IS NOT NULL)::integer AS priced,
                 coalesce(p.nanos, 0) - coalesce(round(r.cost_estimate * 1000000000), 0)::bigint AS more
             FROM UNNEST($1::uuid[], $2::timestamptz[], $3::bigint[]) AS p (id, ts, nanos)
             JOIN rag_tower.request_traces r ON r.trace_id = p.id AND r.ts = p.ts AND ", counts_somewhere!(), "
             ORDER BY r.trace_id FOR UPDATE OF r),
         priced AS (
             UPDATE rag_tower.request_traces r SET cost_estimate = old.nanos * 0.000000001
             FROM old WHERE r.trace_id = old.trace_id AND r.ts = old.ts)
         SELECT ts, tenant_id, route, status, channel, model, priced, more FROM old");

    OWNER READ_TRACE_ROLLUPS = ranged!("", "trace_rollups", "t.tenant_id", "t.route, t.status, t.channel, t.model", "",
        concat!("t.tenant_id = $1::uuid AND ", alike!("$6", "$7", "$8", "$9")));
    OWNER READ_TRACE_TOTALS =
        ranged!("", "trace_totals", "t.tenant_id", "'' AS route, '' AS status, '' AS channel, '' AS model", "",
        "t.tenant_id = $1::uuid");
    OWNER READ_SYSTEM_ROLLUPS = ranged!("", "system_rollups", "'00000000-0000-0000-0000-000000000000'::uuid",
        "t.route, t.status, t.channel, t.model", "",
        concat!("$1::uuid IS NULL AND ", alike!("$6", "$7", "$8", "$9")));
    OWNER READ_SYSTEM_TOTALS = ranged!("", "system_totals", "'00000000-0000-0000-0000-000000000000'::uuid",
        "'' AS route, '' AS status, '' AS channel, '' AS model", "", "$1::uuid IS NULL");
    OWNER READ_TENANTS_ROLLUPS = ranged!(known_tenants!(), "trace_rollups", "t.tenant_id",
        "t.route, t.status, t.channel, t.model", "CROSS JOIN known k",
        concat!("t.tenant_id = k.tenant_id AND $1::uuid IS NULL AND ", alike!("$6", "$7", "$8", "$9")));
    OWNER READ_TENANTS_TOTALS = ranged!(known_tenants!(), "trace_totals", "t.tenant_id",
        "'' AS route, '' AS status, '' AS channel, '' AS model", "CROSS JOIN known k",
        "t.tenant_id = k.tenant_id AND $1::uuid IS NULL");
    OWNER RARE_TRACE = rare!("trace_rollups", "t.tenant_id = $1::uuid");
    OWNER RARE_SYSTEM = rare!("system_rollups", "$1::uuid IS NULL");
    OWNER KINDS_TRACE = kinds!("trace_rollups", "t.tenant_id = $1::uuid");
    OWNER KINDS_SYSTEM = kinds!("system_rollups", "$1::uuid IS NULL");
    OWNER USED_TRACE = used!("", "", "t.tenant_id = $1::uuid");
    OWNER USED_TENANTS =
        used!(known_tenants!(), "CROSS JOIN known k", "t.tenant_id = k.tenant_id AND $1::uuid IS NULL");
    /// The first and the last quarter that has anything.
    OWNER SPAN =
        "SELECT least(
                 CASE WHEN $1::uuid IS NULL THEN (SELECT min(bucket) FROM rag_tower.system_totals WHERE level = 15)
                      ELSE (SELECT min(bucket) FROM rag_tower.trace_totals WHERE tenant_id = $1 AND level = 15) END,
                 w.first),
             greatest(
                 CASE WHEN $1::uuid IS NULL THEN (SELECT max(bucket) FROM rag_tower.system_totals WHERE level = 15)
                      ELSE (SELECT max(bucket) FROM rag_tower.trace_totals WHERE tenant_id = $1 AND level = 15) END,
                 w.last)
         FROM (SELECT min(e.bucket) AS first, max(e.bucket) AS last
               FROM rag_tower.rollup_deltas d, UNNEST(d.bucket, d.tenant_id) AS e (bucket, tenant_id)
               WHERE $1::uuid IS NULL OR e.tenant_id = $1) w";
    OWNER SLICES_TRACE_ROLLUPS = sliced!("trace_rollups", "t.tenant_id = $1::uuid", "route, status, channel, model",
        alike!("$5", "$6", "$7", "$8"));
    OWNER SLICES_TRACE_TOTALS =
        sliced!("trace_totals", "t.tenant_id = $1::uuid", "'' AS route, '' AS status, '' AS channel, '' AS model", "true");
    OWNER SLICES_SYSTEM_ROLLUPS = sliced!("system_rollups", "$1::uuid IS NULL", "route, status, channel, model",
        alike!("$5", "$6", "$7", "$8"));
    OWNER SLICES_SYSTEM_TOTALS =
        sliced!("system_totals", "$1::uuid IS NULL", "'' AS route, '' AS status, '' AS channel, '' AS model", "true");
    OWNER SLICES_DELTAS = concat!(
        "SELECT bucket, route, status, channel, model, sum(requests)::bigint
         FROM (SELECT e.* FROM rag_tower.rollup_deltas d, ", entries!(), ") e
         WHERE ($1::uuid IS NULL OR tenant_id = $1) AND bucket >= $2 AND bucket < $3 AND requests <> 0
           AND ", alike!("$4", "$5", "$6", "$7"), " GROUP BY 1, 2, 3, 4, 5");
    OWNER SLICES_RAW = concat!(
        "SELECT $2::timestamptz, route, status, channel, model, count(*)
         FROM (SELECT ", facets!(), " FROM rag_tower.request_traces r
               WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ts >= $2 AND ts < $3 AND ", counts_somewhere!(), ") r
         WHERE ", alike!("$4", "$5", "$6", "$7"), " GROUP BY 1, 2, 3, 4, 5");
    OWNER TENANTS_TOTALS = concat!(known_tenants!(), "
         SELECT k.tenant_id, c.requests FROM known k, LATERAL (
             SELECT sum(t.requests)::bigint AS requests
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.trace_totals t ON t.tenant_id = k.tenant_id AND t.level = s.step
                 AND t.bucket >= s.first AND t.bucket < s.last) c
         WHERE c.requests > 0");
    OWNER TENANTS_ROLLUPS = concat!(known_tenants!(), "
         SELECT k.tenant_id, c.requests FROM known k, LATERAL (
             SELECT sum(t.requests)::bigint AS requests
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.trace_rollups t ON t.tenant_id = k.tenant_id AND t.level = s.step
                 AND t.bucket >= s.first AND t.bucket < s.last
             WHERE ", alike!("$4", "$5", "$6", "$7"), ") c
         WHERE c.requests > 0");
    OWNER TENANTS_DELTAS = concat!(
        "SELECT tenant_id, sum(requests)::bigint FROM (SELECT e.* FROM rag_tower.rollup_deltas d, ", entries!(), ") e
         WHERE bucket >= $1 AND bucket < $2 AND requests <> 0 AND ", alike!("$3", "$4", "$5", "$6"), " GROUP BY 1");
    OWNER TENANTS_RAW = concat!(
        "SELECT tenant_id, count(*) FROM (SELECT tenant_id, ", facets!(), " FROM rag_tower.request_traces r
                                          WHERE ts >= $1 AND ts < $2 AND ", counts_somewhere!(), ") r
         WHERE ", alike!("$3", "$4", "$5", "$6"), " GROUP BY 1");
    /// How many asks of each tenant ended how, as far as totals tell it apart …
    OWNER ENDS_TOTALS = concat!(known_tenants!(), "
         SELECT k.tenant_id, c.requests, c.errors, c.abstained, c.cancelled, c.limited FROM known k, LATERAL (
             SELECT sum(t.requests)::bigint AS requests, sum(t.errors)::bigint AS errors,
                 sum(t.abstained)::bigint AS abstained, sum(t.cancelled)::bigint AS cancelled,
                 sum(t.limited)::bigint AS limited
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.trace_totals t ON t.tenant_id = k.tenant_id AND t.level = s.step
                 AND t.bucket >= s.first AND t.bucket < s.last) c
         WHERE c.requests > 0");
    /// … and the statuses that are counted together with another there.
    OWNER ENDS_RARE = concat!(known_tenants!(), "
         SELECT k.tenant_id, c.status, c.requests FROM known k, LATERAL (
             SELECT t.status, sum(t.requests)::bigint AS requests
             FROM UNNEST($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (step, first, last)
             JOIN rag_tower.trace_rollups t ON t.tenant_id = k.tenant_id AND t.level = s.step
                 AND t.bucket >= s.first AND t.bucket < s.last
             WHERE t.status IN ('FAIL_CLOSED', 'OVER_BUDGET') GROUP BY 1) c");
    /// The daily partitions, whether each has the index for searching, and about how many rows.
    OWNER TRACE_DAYS =
        "SELECT substr(c.relname, 16), EXISTS (
             SELECT FROM pg_catalog.pg_class x JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid
             WHERE x.relnamespace = c.relnamespace AND x.relname = c.relname || '_search' AND i.indisvalid),
             greatest(c.reltuples, 0)::bigint
         FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
         WHERE h.inhparent = 'rag_tower.request_traces'::regclass AND c.relname ~ '^request_traces_\\d{8}$'";
    /// What is not folded yet, of the buckets of a range.
    OWNER READ_DELTAS = concat!(
        "SELECT bucket, tenant_id, route, status, channel, model, ", counts!(), ", latency, ttft
         FROM (SELECT e.* FROM rag_tower.rollup_deltas d, ", entries!(), ") e
         WHERE ($1::uuid IS NULL OR tenant_id = $1) AND bucket >= $2 AND bucket < $3 AND ",
        alike!("$4", "$5", "$6", "$7"));
    /// The same measures from the rows of a range themselves, without what comes after a row.
    OWNER READ_RAW = concat!(
        "SELECT $2::timestamptz AS at, tenant_id, route, status, channel, model, count(*) AS requests,
             count(*) FILTER (WHERE status IN ('ERROR', 'FAIL_CLOSED')) AS errors,
             count(*) FILTER (WHERE status = 'ABSTAINED') AS abstained,
             count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
             count(*) FILTER (WHERE status IN ('RATE_LIMITED', 'OVER_BUDGET')) AS limited,
             count(*) FILTER (WHERE estimated) AS estimated, count(cost_estimate) AS priced,
             coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
             coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
             coalesce(sum(round(cost_estimate * 1000000000)), 0)::bigint AS cost_nanos,
             coalesce(sum(latency_us), 0)::bigint AS latency_us, coalesce(sum(ttft_us), 0)::bigint AS ttft_us,
             0::bigint AS feedback_up, 0::bigint AS feedback_down, 0::bigint AS handoffs,
             coalesce(array_agg(latency_us), '{}') AS latencies,
             coalesce(array_agg(ttft_us) FILTER (WHERE ttft_us IS NOT NULL), '{}') AS ttfts
         FROM (SELECT r.tenant_id, ", facets!(), ", r.estimated, r.cost_estimate, r.input_tokens, r.output_tokens,
                   r.latency_us, r.ttft_us
               FROM rag_tower.request_traces r
               WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ts >= $2 AND ts < $3 AND ", counts_somewhere!(), ") r
         WHERE ", alike!("$4", "$5", "$6", "$7"), " GROUP BY 2, 3, 4, 5, 6");
    /// Feedback on asks of a range that the rollups do not have, and all on asks of two others. Ranges are those of ids.
    OWNER READ_FEEDBACK = concat!(
        "SELECT f.trace_id, f.tenant_id, f.rating, f.rolled FROM rag_tower.user_feedback f
         WHERE ", unrolled!(), " AND ($1::uuid IS NULL OR f.tenant_id = $1) AND f.trace_id >= $2 AND f.trace_id < $3
         UNION ALL
         SELECT f.trace_id, f.tenant_id, f.rating, NULL FROM rag_tower.user_feedback f
         WHERE ($1::uuid IS NULL OR f.tenant_id = $1) AND f.trace_id >= $4 AND f.trace_id < $5
         UNION ALL
         SELECT f.trace_id, f.tenant_id, f.rating, NULL FROM rag_tower.user_feedback f
         WHERE ($1::uuid IS NULL OR f.tenant_id = $1) AND f.trace_id >= $6 AND f.trace_id < $7");
    /// The same of tickets, by when they were opened.
    OWNER READ_TICKETS =
        "SELECT h.ts, h.tenant_id, h.trace_id FROM rag_tower.handoff_tickets h
         WHERE NOT h.rolled AND ($1::uuid IS NULL OR h.tenant_id = $1) AND h.ts >= $2 AND h.ts < $3
         UNION ALL
         SELECT h.ts, h.tenant_id, h.trace_id FROM rag_tower.handoff_tickets h
         WHERE ($1::uuid IS NULL OR h.tenant_id = $1) AND h.ts >= $4 AND h.ts < $5
         UNION ALL
         SELECT h.ts, h.tenant_id, h.trace_id FROM rag_tower.handoff_tickets h
         WHERE ($1::uuid IS NULL OR h.tenant_id = $1) AND h.ts >= $6 AND h.ts < $7";
    /// What asks of these ids and times are told apart by.
    OWNER READ_ASKS = concat!(
        "SELECT r.ts, r.tenant_id, ", facets!(), ", r.trace_id FROM rag_tower.request_traces r
         WHERE r.trace_id = ANY ($1::uuid[]) AND r.ts = ANY ($2::timestamptz[]) AND ", counts_somewhere!());

    /// Prices, and asks that are to be priced again.
    JOBS PRICES =
        "SELECT model, effective_from, input_per_million::float8, output_per_million::float8 FROM rag_tower.prices";
    JOBS NEXT_REPRICING =
        "SELECT id, model, at, trace_id, until FROM rag_tower.repricings WHERE at < now() - interval '1 second'
         ORDER BY at, id LIMIT 1 FOR UPDATE SKIP LOCKED";
    /// The first day from a moment's on that has asks of a model.
    JOBS NEXT_DAY_OF_MODEL =
        "SELECT min(bucket) FROM rag_tower.system_rollups
         WHERE level = 1440 AND model = $1 AND requests > 0 AND bucket > $2::timestamptz - interval '1 day'";
    JOBS ASKS_OF_MODEL = concat!(
        "SELECT r.trace_id, r.ts, r.input_tokens, r.output_tokens, round(r.cost_estimate * 1000000000)::bigint
         FROM rag_tower.request_traces r
         WHERE r.llm_model = $1 AND r.ts >= $2 AND r.ts < $4 AND (r.ts, r.trace_id) > ($2, $3) AND ", counts_somewhere!(), "
         ORDER BY r.ts, r.trace_id LIMIT $5");
    JOBS NOTE_REPRICING =
        "UPDATE rag_tower.repricings SET at = $2, trace_id = $3, done = done + $4 WHERE id = $1";
    JOBS END_REPRICING = "DELETE FROM rag_tower.repricings WHERE id = $1 AND at >= until";

    /// What the rollups are made of, and what they are, for a check.
    OWNER CHECK_ASKS = concat!(
        "SELECT r.ts, r.tenant_id, ", facets!(), ", r.estimated, r.input_tokens, r.output_tokens,
             round(r.cost_estimate * 1000000000)::bigint AS cost_nanos, r.latency_us, r.ttft_us
         FROM rag_tower.request_traces r WHERE r.ts >= $1 AND r.ts < $2 AND ", counts_somewhere!());
    OWNER CHECK_FEEDBACK = concat!(
        "SELECT r.ts, r.tenant_id, ", facets!(), ", f.rolled
         FROM rag_tower.user_feedback f JOIN ", its_ask!("f"), "
         WHERE f.rolled IN (1, -1) AND f.trace_id >= $3 AND f.trace_id < $4 AND r.ts >= $1 AND r.ts < $2");
    OWNER CHECK_TICKETS = concat!(
        "SELECT h.ts, h.tenant_id, ", facets!(), "
         FROM rag_tower.handoff_tickets h LEFT JOIN ", its_ask!("h"), "
         WHERE h.rolled AND h.ts >= $1 AND h.ts < $2");
    OWNER CHECK_DELTAS = concat!(
        "SELECT ", entry!(), " FROM (SELECT e.* FROM rag_tower.rollup_deltas d, ", entries!(), ") e
         WHERE bucket >= $1 AND bucket < $2");
    OWNER CHECK_TRACE_ROLLUPS = concat!(
        "SELECT level, ", entry!(), " FROM rag_tower.trace_rollups WHERE bucket >= $1 AND bucket < $2");
    OWNER CHECK_TRACE_TOTALS = concat!(
        "SELECT level, ", entry!(), " FROM (SELECT *, '' AS route, '' AS status, '' AS channel, '' AS model
             FROM rag_tower.trace_totals) t WHERE bucket >= $1 AND bucket < $2");
    OWNER CHECK_SYSTEM_ROLLUPS = concat!(
        "SELECT level, ", entry!(), " FROM (SELECT *, '00000000-0000-0000-0000-000000000000'::uuid AS tenant_id
             FROM rag_tower.system_rollups) t WHERE bucket >= $1 AND bucket < $2");
    OWNER CHECK_SYSTEM_TOTALS = concat!(
        "SELECT level, ", entry!(), " FROM (SELECT *, '00000000-0000-0000-0000-000000000000'::uuid AS tenant_id,
             '' AS route, '' AS status, '' AS channel, '' AS model
             FROM rag_tower.system_totals) t WHERE bucket >= $1 AND bucket < $2");

    /// Since when no row was dropped.
    OWNER KEPT_SINCE = "SELECT nullif(kept_since, '-infinity') FROM rag_tower.trace_horizon";

    /// The same, for whoever makes rollups again.
    JOBS REBUILD_KEPT_SINCE = KEPT_SINCE;
    JOBS REBUILD_ASKS = CHECK_ASKS;
    JOBS REBUILD_FEEDBACK = CHECK_FEEDBACK;
    JOBS REBUILD_TICKETS = CHECK_TICKETS;
    /// Takes the deltas that touch a day, whole.
    JOBS TAKE_DELTAS_OF = concat!(
        "WITH d AS (
             DELETE FROM rag_tower.rollup_deltas
             WHERE EXISTS (SELECT FROM unnest(bucket) AS b (at) WHERE at >= $1 AND at < $2) RETURNING *)
         SELECT d.id, e.* FROM d, ", entries!());
    /// Takes away what was made up of a day, and says how many asks that were. The last two parameters are the day as ids.
    JOBS REMOVE_DEMO = "SELECT rag_tower.remove_demo($1, $2, $3, $4)";
    JOBS CLEAR_TRACE_ROLLUPS = "DELETE FROM rag_tower.trace_rollups WHERE bucket >= $1 AND bucket < $2";
    JOBS CLEAR_TRACE_TOTALS = "DELETE FROM rag_tower.trace_totals WHERE bucket >= $1 AND bucket < $2";
    JOBS CLEAR_SYSTEM_ROLLUPS = "DELETE FROM rag_tower.system_rollups WHERE bucket >= $1 AND bucket < $2";
    JOBS CLEAR_SYSTEM_TOTALS = "DELETE FROM rag_tower.system_totals WHERE bucket >= $1 AND bucket < $2";
    JOBS HAS_PARTITION =
        "SELECT EXISTS (SELECT FROM rag_tower.trace_partitions() WHERE first <= $1 AND last > $1)";
    JOBS HAS_ROLLUPS =
        "SELECT EXISTS (SELECT FROM rag_tower.system_totals WHERE level = 1440 AND bucket = $1 AND requests > 0)";

    /// Partitions: of today and days after it, all of them, and the oldest one gone. One process drops at a time.
    JOBS MAKE_PARTITIONS = "SELECT rag_tower.ensure_partitions((now() AT TIME ZONE 'UTC')::date, $1)";
    JOBS PARTITIONS = "SELECT first, last FROM rag_tower.trace_partitions() ORDER BY first";
    JOBS PARTITION_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('rag_tower.partitions'))";
    JOBS DROP_PARTITION = "SELECT rag_tower.drop_partition($1)";

    /// Facts of the key with this hash; and, read as its tenant when it counts, who reads and the state of the corpus.
    RESOLVER RESOLVE_KEY = "SELECT * FROM rag_tower.resolve_ask($1)";
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
    /// Who reads, and the state that the corpus is in; without a corpus the reader alone: for another reader than the tenant
    /// there would be none.
    TENANT CORPUS_STATE = "SELECT * FROM rag_tower.corpus_state($1)";
    /// The same, and with it the chunks of `$2`; or, in the state of `$4` and `$5`, only those of `$3`. They are looked up one by
    /// one, so that what else the tenant has does not matter.
    TENANT PASSAGES =
        "SELECT current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version, v.updated_at,
             c.id, c.document_id, c.branch_id, c.tenant_id, c.seq, d.title, d.file_name, c.text
         FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = $1
         LEFT JOIN LATERAL unnest(CASE WHEN v.version = $4 AND v.updated_at = $5 THEN $3::uuid[] ELSE $2::uuid[] END) AS w (id) ON true
         LEFT JOIN rag_tower.chunks c ON c.tenant_id = $1 AND c.id = w.id
         LEFT JOIN rag_tower.documents d ON d.tenant_id = c.tenant_id AND d.id = c.document_id";
    TENANT FREQUENCIES =
        "SELECT term, chunks FROM rag_tower.document_frequencies WHERE tenant_id = $1 AND term = ANY ($2)
         UNION ALL SELECT -1, chunks FROM rag_tower.corpora WHERE tenant_id = $1
         UNION ALL SELECT -2, version FROM rag_tower.corpora WHERE tenant_id = $1";
    /// Every term and its chunks, when there are not too many: one more than the limit says that there are.
    TENANT VOCABULARY =
        "SELECT v.version, v.chunks, coalesce(f.terms, '{}'), coalesce(f.chunks, '{}')
         FROM rag_tower.corpora v,
              (SELECT array_agg(term) AS terms, array_agg(chunks) AS chunks
               FROM (SELECT term, chunks FROM rag_tower.document_frequencies WHERE tenant_id = $1 LIMIT $2) few) f
         WHERE v.tenant_id = $1";
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
        "INSERT INTO rag_tower.user_feedback AS f (id, tenant_id, trace_id, subject, rating, comment)
         VALUES ($2, $1, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, trace_id, subject)
         DO UPDATE SET rating = excluded.rating, comment = excluded.comment, ts = now(), rolled = nullif(f.rolled, 0)";

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

//! Asks, as the owner sees them: a list, and one in full.

use rag_tower::AskId;
use rag_tower::masking;
use rag_tower::postgres::{DatabaseError, OwnerTx};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::page::{Cursor, List, Listing, Page, Statement};
use crate::auth::OwnerScope;

/// The order of the parameters is that of [`LogFilter`].
const LOGS: Listing = Listing {
    columns: "r.trace_id, r.ts, r.tenant_id, t.slug AS tenant, r.channel, r.route, r.status, r.latency_ms,
        jsonb_array_length(r.sources) AS sources_count, left(r.question, 160) AS question_preview, r.reason, r.error_kind",
    table: "rag_tower.request_traces",
    id: "trace_id",
    filter: "($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::timestamptz IS NULL OR r.ts >= $2)
        AND ($3::timestamptz IS NULL OR r.ts < $3) AND ($4::text IS NULL OR r.route = $4)
        AND ($5::text IS NULL OR r.status = $5)
        AND ($6::text IS NULL OR strpos(lower(r.question), lower($6)) > 0 OR strpos(lower(r.answer), lower($6)) > 0)",
    parameters: 6,
};

/// One row. The time follows from the id, so only one partition is looked at.
const DETAIL: &str = "SELECT r.trace_id, r.ts, r.tenant_id, t.slug AS tenant, r.branch_id, r.request_id, r.session_id,
        r.subject, r.channel, r.route, r.status, r.finish, r.reason, r.question, r.answer, r.latency_ms, r.latency_us,
        r.ttft_us, r.input_tokens, r.output_tokens, r.total_tokens, r.estimated, r.cost_estimate::float8 AS cost_estimate,
        r.llm_provider, r.llm_model, r.confidence, r.error_kind, r.error_stage, r.error, r.degraded, r.sources,
        r.tool_metadata, r.spans, r.hits,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('rating', f.rating, 'comment', f.comment, 'ts', f.ts) ORDER BY f.ts), '[]')
         FROM rag_tower.user_feedback f WHERE f.tenant_id = r.tenant_id AND f.trace_id = r.trace_id) AS feedback
    FROM rag_tower.request_traces r LEFT JOIN rag_tower.tenants t ON t.id = r.tenant_id
    WHERE r.trace_id = $1 AND r.ts = $2";

/// Which asks.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Of one tenant. Default: of all.
    pub tenant: Option<TenantId>,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// That this route answered.
    pub route: Option<String>,
    /// With this status, such as `SUCCESS`.
    pub status: Option<String>,
    /// Whose question or answer contains this, whatever the case.
    pub text: Option<String>,
}

/// An ask in a list.
#[derive(Clone, Debug, Serialize, FromRow)]
#[non_exhaustive]
pub struct LogLine {
    /// The ask.
    pub trace_id: Uuid,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub ts: OffsetDateTime,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// How it came.
    pub channel: String,
    /// The route that answered.
    pub route: Option<String>,
    /// How it ended.
    pub status: String,
    /// How long it took, in milliseconds.
    pub latency_ms: i64,
    /// How many sources the answer could cite.
    pub sources_count: i32,
    /// The beginning of the question, masked.
    pub question_preview: Option<String>,
    /// Why it ended so.
    pub reason: Option<String>,
    /// What failed.
    pub error_kind: Option<String>,
}

/// An ask in full.
#[derive(Clone, Debug, Serialize, FromRow)]
#[expect(missing_docs, reason = "the fields are the columns of the trace row, documented there")]
#[non_exhaustive]
pub struct TraceDetail {
    pub trace_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub ts: OffsetDateTime,
    pub tenant_id: Uuid,
    pub tenant: Option<String>,
    pub branch_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub session_id: Option<Uuid>,
    pub subject: Option<String>,
    pub channel: String,
    pub route: Option<String>,
    pub status: String,
    pub finish: Option<String>,
    pub reason: Option<String>,
    pub question: Option<String>,
    pub answer: Option<String>,
    pub latency_ms: i64,
    pub latency_us: i64,
    pub ttft_us: Option<i64>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub total_tokens: Option<i64>,
    pub estimated: bool,
    pub cost_estimate: Option<f64>,
    pub llm_provider: Option<String>,
    pub llm_model: Option<String>,
    pub confidence: Option<f32>,
    pub error_kind: Option<String>,
    pub error_stage: Option<String>,
    pub error: Option<String>,
    pub degraded: Value,
    pub sources: Value,
    pub tool_metadata: Value,
    pub spans: Value,
    pub hits: Value,
    pub feedback: Value,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of asks.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn logs<'q>(
        &self,
        _: &OwnerScope,
        filter: &'q LogFilter,
        page: &Page,
    ) -> Result<List<LogLine>, DatabaseError> {
        let bind = |statement: Statement<'q>| {
            statement
                .bind(filter.tenant.map(|tenant| tenant.as_uuid()))
                .bind(filter.since)
                .bind(filter.until)
                .bind(&filter.route)
                .bind(&filter.status)
                .bind(&filter.text)
        };
        let at = |line: &LogLine| Cursor { ts: line.ts, id: line.trace_id };
        let mut list = self.page(&LOGS, page, bind, at).await?;
        for line in &mut list.items {
            mask(&mut line.question_preview);
        }
        Ok(list)
    }

    /// One ask in full; none when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trace(&self, _: &OwnerScope, trace: AskId) -> Result<Option<TraceDetail>, DatabaseError> {
        // an id that carries no time is no row's
        let Some(ts) = trace.timestamp() else { return Ok(None) };
        let mut tx = OwnerTx::begin(&self.database).await?;
        let detail: Option<TraceDetail> =
            sqlx::query_as(DETAIL).bind(trace.as_uuid()).bind(ts).fetch_optional(tx.connection()).await?;
        tx.commit().await?;
        Ok(detail.map(|mut detail| {
            mask(&mut detail.question);
            mask(&mut detail.answer);
            for json in [&mut detail.tool_metadata, &mut detail.sources, &mut detail.feedback] {
                mask_json(json);
            }
            detail
        }))
    }
}

fn mask(text: &mut Option<String>) {
    if let Some(text) = text {
        *text = masking::text(text).into_owned();
    }
}

/// Masks the strings inside; numbers stay, ids are not telephone numbers to the mask.
fn mask_json(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<Uuid>().is_err() => *text = masking::text(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(mask_json),
        Value::Object(map) => map.values_mut().for_each(mask_json),
        _ => {}
    }
}

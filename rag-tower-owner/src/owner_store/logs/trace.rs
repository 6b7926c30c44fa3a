//! One ask in full: what its row holds, what people thought of it, and what else was said in its conversation.

use rag_tower::AskId;
use rag_tower::postgres::{DatabaseError, OwnerTx, hits_of_row, sources_of_row, spans_of_row};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::STATEMENT;
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;
use crate::owner_store::masked::{mask, mask_json};

/// One row. The time follows from the id, so only one partition is looked at.
const DETAIL: &str = "SELECT r.trace_id, r.ts, r.tenant_id, t.slug AS tenant, r.branch_id, r.request_id, r.session_id,
        r.subject, r.channel, r.route, r.status, r.finish, r.reason, r.question, r.answer, r.latency_ms, r.latency_us,
        r.ttft_us, r.input_tokens, r.output_tokens, r.total_tokens, r.estimated, r.cost_estimate::float8 AS cost_estimate,
        r.llm_provider, r.llm_model, r.confidence, r.error_kind, r.error_stage, r.error, r.degraded, r.sources,
        r.tool_metadata, r.spans, r.hits, r.receipt, r.tool_metadata -> 'prompt' AS prompt,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('rating', f.rating, 'comment', f.comment, 'ts', f.ts) ORDER BY f.ts), '[]')
         FROM rag_tower.user_feedback f WHERE f.tenant_id = r.tenant_id AND f.trace_id = r.trace_id) AS feedback,
        (SELECT jsonb_build_object('id', h.id, 'status', h.status) FROM rag_tower.handoff_tickets h
         WHERE h.tenant_id = r.tenant_id AND h.trace_id = r.trace_id ORDER BY h.ts DESC LIMIT 1) AS handoff
    FROM rag_tower.request_traces r LEFT JOIN rag_tower.tenants t ON t.id = r.tenant_id
    WHERE r.trace_id = $1 AND r.ts = $2";

/// Other asks of a conversation, of a day before and a day after.
const RELATED: &str = "SELECT r.trace_id, r.ts, r.status, left(r.question, 160) AS question_preview
    FROM rag_tower.request_traces r
    WHERE r.tenant_id = $1 AND r.session_id = $2 AND r.trace_id <> $3
      AND r.ts >= $4 AND r.ts < $5
    ORDER BY r.ts LIMIT 20";

const SPANS: &str = "SELECT r.spans FROM rag_tower.request_traces r WHERE r.trace_id = $1 AND r.ts = $2";

/// An ask in full.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the fields are the columns of the trace row, documented there")]
#[non_exhaustive]
pub struct TraceDetail {
    pub trace_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
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
    /// What kept its tenant apart: `filter` (what the search was confined to), `received`, `admitted` and `dropped` (passages at
    /// the door), `database` (`role` and `tenant_setting` of the transaction that read the text), `cache` (`result` and
    /// `partition`) and `verdict` (`passed`, `failed`, `foreign` or `not_searched`). None of a row that was not written by a
    /// server, or by one before there were receipts.
    pub receipt: Option<Value>,
    pub prompt: Option<Value>,
    pub feedback: Value,
    /// Its ticket: `id` and `status`.
    pub handoff: Option<Value>,
    /// Other asks of the same conversation within a day, the oldest first, at most 20.
    #[sqlx(skip)]
    pub related: Vec<Related>,
}

/// Another ask of a conversation.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Related {
    /// The ask.
    pub trace_id: Uuid,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// How it ended.
    pub status: String,
    /// The beginning of the question, masked.
    pub question_preview: Option<String>,
}

/// Some of an ask's spans.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Spans {
    /// The spans, in the order in which they ended.
    pub items: Value,
    /// The offset of the next page; none on the last.
    pub next: Option<u64>,
    /// How many there are in all.
    pub total: u64,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// One ask in full; none when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trace(&self, _: &OwnerScope, trace: AskId) -> Result<Option<TraceDetail>, DatabaseError> {
        // an id that carries no time is no row's
        let Some(ts) = trace.timestamp() else { return Ok(None) };
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let detail = sqlx::query_as(DETAIL).bind(trace.as_uuid()).bind(ts).fetch_optional(tx.connection());
        let Some::<TraceDetail>(mut detail) = detail.await? else { return Ok(None) };
        if let Some(session) = detail.session_id {
            let related = sqlx::query_as(RELATED)
                .bind(detail.tenant_id)
                .bind(session)
                .bind(detail.trace_id)
                .bind(ts - time::Duration::DAY)
                .bind(ts + time::Duration::DAY)
                .fetch_all(tx.connection());
            // a conversation that takes too long to find is left out
            detail.related = match related.await.map_err(DatabaseError::from) {
                Err(DatabaseError::TooLong(_)) => Vec::new(),
                related => related?,
            };
        }
        (detail.hits, detail.spans) = (hits_of_row(detail.hits), spans_of_row(detail.spans));
        detail.sources = sources_of_row(detail.sources);
        mask(&mut detail.question);
        mask(&mut detail.answer);
        mask(&mut detail.error);
        detail.related.iter_mut().for_each(|related| mask(&mut related.question_preview));
        for json in [&mut detail.tool_metadata, &mut detail.sources, &mut detail.feedback] {
            mask_json(json);
        }
        [&mut detail.receipt, &mut detail.prompt].into_iter().flatten().for_each(mask_json);
        Ok(Some(detail))
    }

    /// Some of an ask's spans; none when there is no such ask.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn spans(
        &self,
        _: &OwnerScope,
        trace: AskId,
        offset: u32,
        limit: u32,
    ) -> Result<Option<Spans>, DatabaseError> {
        let Some(ts) = trace.timestamp() else { return Ok(None) };
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let found = sqlx::query_scalar(SPANS).bind(trace.as_uuid()).bind(ts).fetch_optional(tx.connection());
        let Some(column) = found.await? else { return Ok(None) };
        let mut items = match spans_of_row(column) {
            Value::Array(spans) => spans,
            _ => Vec::new(),
        };
        let (total, end) = (items.len() as u64, u64::from(offset) + u64::from(limit));
        items.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        items.drain(..items.len().min(offset as usize));
        Ok(Some(Spans { items: items.into(), next: (end < total).then_some(end), total }))
    }
}

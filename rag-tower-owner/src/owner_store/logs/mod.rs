//! Asks, as the owner sees them: a list, how many there are of which kind, and one in full.

mod facets;
mod select;
mod walk;
mod windows;

use std::time::Duration;

use rag_tower::AskId;
use rag_tower::postgres::{DatabaseError, OwnerTx, SearchText};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::facets::{FacetCount, LogFacets};
use self::select::{Rows, Shape};
use self::walk::Hunt;
use self::windows::{Windows, quarters, windows};
use super::OwnerStore;
use super::masked::{mask, mask_json};
use super::page::{Cursor, Page};
use crate::auth::OwnerScope;

/// Up to here rows are counted.
const COUNTED: i64 = 10_000;
/// The longest that a statement for a page may take.
const STATEMENT: Duration = Duration::from_secs(2);
/// How long a search for a text goes on.
const SEARCH: Duration = Duration::from_secs(1);
/// Rows that are rather passed over than counted by quarters.
const SHORT: i64 = 300;
/// Stretches of time that one statement looks in.
const AT_ONCE: usize = 16;

/// A line of a list.
const LINE: Shape = Shape {
    read: "r.trace_id, r.ts, r.tenant_id, r.channel, r.route, r.status, r.latency_ms, r.sources, r.question, r.reason,
        r.error_kind",
    shown: "x.trace_id, x.ts, x.tenant_id, t.slug AS tenant, x.channel, x.route, x.status, x.latency_ms,
        jsonb_array_length(x.sources) AS sources_count, left(x.question, 160) AS question_preview, x.reason, x.error_kind",
    joined: "LEFT JOIN rag_tower.tenants t ON t.id = x.tenant_id",
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
    /// That came this way, such as `web`.
    pub channel: Option<String>,
    /// That this model answered.
    pub model: Option<String>,
    /// Whose question or answer holds this, whatever the case and marks.
    pub text: Option<SearchText>,
}

/// A page of asks.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LogPage {
    /// The asks, newest first.
    pub items: Vec<LogLine>,
    /// Where the next page begins; none on the last. There may be a next page after one that is not full.
    pub next: Option<Cursor>,
    /// How many there are in all, up to 10,000; none on a page that a cursor continues, and of a search that has not come to
    /// its end.
    pub total: Option<u64>,
    /// True when there are more than `total`.
    pub total_is_capped: bool,
    /// False when a search ran out of time: what is here is right, and `next` goes on from where it stopped.
    pub complete: bool,
    /// Where it stopped: everything from then on has been searched.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub searched_until: Option<OffsetDateTime>,
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
    /// A page of asks. A search for a text goes on for a second; a page of one that takes longer says how far it came.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the filter is too costly.
    pub async fn logs(
        &self,
        _: &OwnerScope,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<LogPage, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let counts = page.after.is_none() && filter.text.is_none();
        let windows = windows(&mut tx, filter, page.after, counts).await?;
        let mut list = match &filter.text {
            Some(text) => self.holding(tx, filter, text, page, windows).await?,
            None => in_order(tx, filter, page, windows, counts).await?,
        };
        for line in &mut list.items {
            mask(&mut line.question_preview);
        }
        Ok(list)
    }

    /// A page of those that hold a text.
    async fn holding(
        &self,
        tx: OwnerTx,
        filter: &LogFilter,
        text: &SearchText,
        page: &Page,
        windows: Windows,
    ) -> Result<LogPage, DatabaseError> {
        let most = usize::try_from(page.skip().saturating_add(page.fetch())).unwrap_or(usize::MAX);
        let hunt = Hunt { filter, text, shape: LINE, most, time: SEARCH };
        let found = self.hunt::<LogLine>(tx, &hunt, windows, page.after).await?;
        let whole = found.stopped.is_none() && found.rows.len() < most && page.after.is_none();
        let total = whole.then_some(found.rows.len() as u64);
        let skip = usize::try_from(page.skip()).unwrap_or(usize::MAX);
        let list = page.list(found.rows.into_iter().skip(skip).collect(), None, line_at);
        Ok(LogPage {
            next: list.next.or(found.stopped),
            items: list.items,
            total,
            total_is_capped: false,
            complete: found.stopped.is_none(),
            searched_until: found.stopped.map(|stopped| stopped.ts),
        })
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

/// A page, read in the order of time. With `counted`, the windows hold exactly as many rows as they say.
async fn in_order(
    mut tx: OwnerTx,
    filter: &LogFilter,
    page: &Page,
    mut windows: Windows,
    counted: bool,
) -> Result<LogPage, DatabaseError> {
    let total: i64 = windows.iter().map(|window| window.rows).sum();
    let mut skip = page.skip();
    if counted {
        pass_over(&mut windows, &mut skip);
        if let Some(first) = windows.first().copied().filter(|_| skip > SHORT) {
            windows.splice(..1, quarters(&mut tx, filter, &first).await?);
            pass_over(&mut windows, &mut skip);
        }
    }
    let mut items: Vec<LogLine> = Vec::new();
    let wanted = page.fetch();
    while (items.len() as i64) < wanted && !windows.is_empty() {
        let missing = wanted - items.len() as i64;
        let mut within = 0;
        let enough = windows.iter().take(AT_ONCE).position(|window| {
            within += window.rows;
            within >= skip + missing
        });
        // behind a cursor nobody knows how many rows a window has
        let known = counted || skip == 0;
        let now = enough.filter(|_| known).map_or(windows.len(), |last| last + 1);
        let now = if known { now.min(AT_ONCE) } else { now };
        let later = windows.split_off(now);
        let stretches: Vec<_> = windows.iter().map(|window| window.stretch).collect();
        let rows = Rows { filter, stretches: &stretches, after: page.after };
        let mut statement = rows.newest(LINE, missing, skip);
        let found = statement.build_query_as().persistent(false).fetch_all(tx.connection()).await?;
        // should there be fewer rows than were counted, the next windows make up for it
        skip = if found.is_empty() { (skip - within).max(0) } else { 0 };
        items.extend(found);
        windows = later;
    }
    let list = page.list(items, counted.then_some(total.min(COUNTED)), line_at);
    Ok(LogPage {
        items: list.items,
        next: list.next,
        total: list.total,
        total_is_capped: counted && total > COUNTED,
        complete: true,
        searched_until: None,
    })
}

/// Leaves out windows that lie before a page as a whole.
fn pass_over(windows: &mut Windows, skip: &mut i64) {
    let before = windows.iter().take_while(|window| {
        let whole = window.rows <= *skip;
        *skip -= if whole { window.rows } else { 0 };
        whole
    });
    let before = before.count();
    windows.drain(..before);
}

fn line_at(line: &LogLine) -> Cursor {
    Cursor { ts: line.ts, id: line.trace_id }
}

#[cfg(test)]
mod tests;

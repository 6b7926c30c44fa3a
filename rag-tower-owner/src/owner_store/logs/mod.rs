//! Asks, as the owner sees them: a list, how many there are of which kind, and one in full.

mod export;
mod facets;
mod filter;
mod narrow;
mod select;
mod tail;
mod trace;
mod walk;
mod windows;

use std::time::Duration;

use rag_tower::postgres::{DatabaseError, OwnerTx, Selection};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::export::{LOG_COLUMNS, USUAL_LOG_COLUMNS};
pub use self::facets::{FacetCount, LogFacets};
pub use self::filter::{Cache, Fine, LogFilter, Thumbs};
use self::narrow::narrowed;
use self::select::Rows;
pub(super) use self::select::Shape;
pub use self::tail::Tail;
pub use self::trace::{Related, Spans, TraceDetail};
use self::walk::{Found, Hunt};
use self::windows::{Windows, quarters, windows};
use super::OwnerStore;
use super::masked::mask;
use super::page::{Cursor, Page};
use crate::auth::OwnerScope;

/// Up to here rows are counted.
const COUNTED: i64 = 10_000;
/// The longest that a statement for a page may take.
pub(super) const STATEMENT: Duration = Duration::from_secs(2);
/// How long a search for a text goes on.
const SEARCH: Duration = Duration::from_secs(1);
/// Rows that are rather passed over than counted by quarters.
const SHORT: i64 = 300;
/// Stretches of time that one statement looks in.
const AT_ONCE: usize = 16;

/// What is read of a line, and what is shown of it.
macro_rules! read {
    () => {
        "r.trace_id, r.ts, r.tenant_id, r.channel, r.route, r.status, r.latency_ms, r.sources, r.question, r.reason,
            r.error_kind, r.cost_estimate, r.input_tokens, r.output_tokens, r.ttft_us, r.llm_model, r.session_id,
            r.tool_metadata"
    };
}
macro_rules! shown {
    () => {
        "x.trace_id, x.ts, x.tenant_id, t.slug AS tenant, x.channel, x.route, x.status, x.latency_ms,
            jsonb_array_length(x.sources) AS sources_count, left(x.question, 160) AS question_preview, x.reason,
            x.error_kind, x.cost_estimate::float8 AS cost_usd, x.input_tokens, x.output_tokens, x.ttft_us / 1000 AS ttft_ms,
            x.llm_model, x.session_id,
            CASE WHEN x.tool_metadata ->> 'cache' = 'hit' THEN 'hit' WHEN x.llm_model IS NOT NULL THEN 'miss' END AS cache,
            (SELECT CASE WHEN bool_or(f.rating < 0) THEN 'down' WHEN bool_or(f.rating > 0) THEN 'up' END
             FROM rag_tower.user_feedback f
             WHERE f.trace_id = x.trace_id AND f.tenant_id = x.tenant_id) AS feedback,
            EXISTS (SELECT FROM rag_tower.handoff_tickets h
                    WHERE h.trace_id = x.trace_id AND h.tenant_id = x.tenant_id) AS handoff"
    };
}
pub(super) const NAMED: &str = "LEFT JOIN rag_tower.tenants t ON t.id = x.tenant_id";

/// A line of a list.
const LINE: Shape = Shape { read: read!(), shown: shown!(), joined: NAMED };
/// The same with the texts that may be long.
const LONG: Shape = Shape {
    read: concat!(read!(), ", r.answer, r.error"),
    shown: concat!(shown!(), ", x.question, x.answer, x.error"),
    joined: NAMED,
};

/// A page of asks.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LogPage<T = LogLine> {
    /// The asks, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last. There may be a next page after one that is not full.
    pub next: Option<Cursor>,
    /// How many there are in all, up to 10,000; none on a page that a cursor continues, and of a search, or of a filter that
    /// the rollups do not know, that has not come to its end.
    pub total: Option<u64>,
    /// True when there are more than `total`.
    pub total_is_capped: bool,
    /// False when a search ran out of time: what is here is right, and `next` goes on from where it stopped.
    pub complete: bool,
    /// Where it stopped: everything from then on has been searched.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub searched_until: Option<OffsetDateTime>,
}

/// An ask in a list.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LogLine {
    /// The ask.
    pub trace_id: Uuid,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
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
    /// What it cost, in US dollars; none when that is not known.
    pub cost_usd: Option<f64>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// The time to the first piece of text, in milliseconds.
    pub ttft_ms: Option<i64>,
    /// The model that answered.
    pub llm_model: Option<String>,
    /// `down` when there is a thumb down, else `up` when there is one up.
    pub feedback: Option<String>,
    /// Whether there is a ticket.
    pub handoff: bool,
    /// `hit` when it was answered from the cache, `miss` when something generated the answer.
    pub cache: Option<String>,
    /// The conversation.
    pub session_id: Option<Uuid>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of asks. A search for a text, or for what only the rows know, goes on for a second; a page of one that takes
    /// longer says how far it came.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the filter is too costly.
    pub async fn logs(
        &self,
        owner: &OwnerScope,
        filter: &LogFilter,
        page: &Page,
    ) -> Result<LogPage, DatabaseError> {
        let mut list = self.lines(owner, filter, page, LINE, line_at).await?;
        for line in &mut list.items {
            mask(&mut line.question_preview);
        }
        Ok(list)
    }

    /// A page of asks in any shape, as they are kept.
    async fn lines<T>(
        &self,
        _: &OwnerScope,
        filter: &LogFilter,
        page: &Page,
        shape: Shape,
        at: impl Fn(&T) -> Cursor,
    ) -> Result<LogPage<T>, DatabaseError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let exact = filter.text.is_none() && filter.fine.is_any();
        let counts = page.after.is_none() && exact;
        let windows = windows(&mut tx, filter, page.after, counts).await?;
        if exact {
            return in_order(&mut tx, filter, page, windows, counts, shape, at).await;
        }
        let most = usize::try_from(page.skip().saturating_add(page.fetch())).unwrap_or(usize::MAX);
        let found: Found<T> = match &filter.text {
            Some(text) => {
                let hunt = Hunt { filter, text, shape, most, time: SEARCH };
                self.hunt(tx, &hunt, windows, page.after).await?
            }
            None => narrowed(&mut tx, filter, shape, windows, page.after, (most, SEARCH)).await?,
        };
        let whole = found.stopped.is_none() && found.rows.len() < most && page.after.is_none();
        let total = whole.then_some(found.rows.len() as u64);
        let skip = usize::try_from(page.skip()).unwrap_or(usize::MAX);
        let list = page.list(found.rows.into_iter().skip(skip).collect(), None, at);
        Ok(LogPage {
            next: list.next.or(found.stopped),
            items: list.items,
            total,
            total_is_capped: false,
            complete: found.stopped.is_none(),
            searched_until: found.stopped.map(|stopped| stopped.ts),
        })
    }
}

/// The newest asks of a selection, at most so many, in any shape, as they are kept, and how many there are in all.
pub(super) async fn newest<T>(
    tx: &mut OwnerTx,
    which: Selection,
    most: u32,
    shape: Shape,
    at: impl Fn(&T) -> Cursor,
) -> Result<LogPage<T>, DatabaseError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let filter = LogFilter::from(which);
    let windows = windows(tx, &filter, None, true).await?;
    in_order(tx, &filter, &Page::first(most), windows, true, shape, at).await
}

/// A page, read in the order of time. With `counted`, the windows hold exactly as many rows as they say.
async fn in_order<T>(
    tx: &mut OwnerTx,
    filter: &LogFilter,
    page: &Page,
    mut windows: Windows,
    counted: bool,
    shape: Shape,
    at: impl Fn(&T) -> Cursor,
) -> Result<LogPage<T>, DatabaseError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let total: i64 = windows.iter().map(|window| window.rows).sum();
    let mut skip = page.skip();
    if counted {
        pass_over(&mut windows, &mut skip);
        if let Some(first) = windows.first().copied().filter(|_| skip > SHORT) {
            windows.splice(..1, quarters(tx, filter, &first).await?);
            pass_over(&mut windows, &mut skip);
        }
    }
    let mut items: Vec<T> = Vec::new();
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
        let mut statement = rows.newest(shape, missing, skip);
        let found = statement.build_query_as().persistent(false).fetch_all(tx.connection()).await?;
        // should there be fewer rows than were counted, the next windows make up for it
        skip = if found.is_empty() { (skip - within).max(0) } else { 0 };
        items.extend(found);
        windows = later;
    }
    let list = page.list(items, counted.then_some(total.min(COUNTED)), at);
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

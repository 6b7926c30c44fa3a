//! What the knowledge base lacks: a range in, the questions that were left without an answer for want of knowledge out, the
//! most asked first.
//!
//! Questions of a tenant that differ in case, marks, spacing and the punctuation around them alone are one gap. The newest asks
//! of the range are grouped, at most 5,000 of those that abstained and as many of those that were out of domain; a page says
//! from when on that is all of them. An ask that failed closed is no gap: whether there was knowledge is not known of it.
//!
//! The owner may say that a gap is closed. That holds for what was asked until then: asked again, it is open again.

mod file;
mod group;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rag_tower::postgres::{DatabaseError, OwnerTx, Selection};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use self::group::{Gap, Missed, grouped};
pub use self::resolve::GapStanding;
pub(crate) use self::resolve::Reopened;
use super::OwnerStore;
use super::logs::{LogPage, STATEMENT, Shape, newest};
use super::masked::mask;
use super::page::Cursor;
use crate::auth::OwnerScope;

/// The newest so many of each kind are grouped.
const GROUPED: u32 = 5_000;
/// The most branches that are named of a gap.
const BRANCHES: usize = 20;

/// What makes questions one gap: the question as it is searched, without the punctuation around it. Only its hash is shown and
/// kept, for in the text there may be what has to be masked.
macro_rules! folded {
    () => {
        "CROSS JOIN LATERAL (SELECT btrim(split_part(x.search_text, E'\\n', 1), ' ?!.,:;¿¡؟،。、') AS folded) f"
    };
}
macro_rules! key {
    () => {
        "CASE WHEN f.folded <> '' THEN substr(sha256(convert_to(f.folded, 'UTF8')), 1, 16) END"
    };
}
use {folded, key};

/// An ask without an answer.
const MISSED: Shape = Shape {
    read: "r.trace_id, r.ts, r.tenant_id, r.branch_id, r.reason, r.finish, r.confidence, r.question, r.search_text",
    shown: concat!(
        "x.trace_id, x.ts, x.tenant_id, t.slug AS tenant, x.branch_id, coalesce(x.reason, x.finish, '') AS reason,
            x.confidence, left(x.question, 300) AS question, ",
        key!(),
        " AS key"
    ),
    joined: concat!("LEFT JOIN rag_tower.tenants t ON t.id = x.tenant_id ", folded!()),
};
const NAMES: &str = "SELECT id, name FROM rag_tower.branches WHERE id = ANY ($1)";
/// What the owner said of gaps. One that nothing was said of is not among them.
const SAID: &str =
    "SELECT g.tenant_id, g.key, g.note, g.resolved_at, g.resolved_by FROM rag_tower.gap_resolutions g
    WHERE (g.tenant_id, g.key) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))";

/// Which gaps.
#[derive(Clone, Debug, Default)]
pub struct GapFilter {
    /// Of one tenant. Default: of all.
    pub tenant: Option<TenantId>,
    /// Asked from this moment on.
    pub since: Option<OffsetDateTime>,
    /// Asked before this moment.
    pub until: Option<OffsetDateTime>,
    /// Asks that were left without an answer for this reason alone.
    pub reason: Option<GapReason>,
    /// Whether the owner said that it is closed.
    pub state: Option<GapState>,
}

/// Why a question was left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Nothing was found.
    NoDocuments,
    /// What was found does not fit well enough.
    BelowThreshold,
    /// It was taken for a question that is not the tenant's.
    OutOfDomain,
}

/// Whether the owner said that a gap is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapState {
    /// Not, or it was asked again since.
    Open,
    /// Yes.
    Resolved,
}

/// A page of gaps.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GapPage {
    /// The gaps, the most asked first, and of those that are asked alike the one that was asked last.
    pub items: Vec<GapLine>,
    /// Where the next page begins; none on the last.
    pub next: Option<GapCursor>,
    /// How many gaps there are in all.
    pub total: u64,
    /// How many there are in each state, whatever state is asked for.
    pub counts: GapCounts,
    /// How many asks were grouped.
    pub counted: u64,
    /// False when there are older asks in the range that were not grouped.
    pub complete: bool,
    /// From when on all asks of the range were grouped; none when that is the whole range.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub counted_since: Option<OffsetDateTime>,
}

/// How many gaps there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GapCounts {
    /// Open ones.
    pub open: u64,
    /// Closed ones.
    pub resolved: u64,
}

/// A question that is asked and not answered.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GapLine {
    /// What tells it from other gaps of the tenant: made of the question's text, and nothing can be read off it.
    pub key: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// The beginning of the question as it was asked last, masked.
    pub question: Option<String>,
    /// How often it was asked.
    pub count: u64,
    /// When it was asked first in the range.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub first_at: OffsetDateTime,
    /// When it was asked last in the range.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub last_at: OffsetDateTime,
    /// How often for which reason: `no_documents`, `below_threshold` or `out_of_domain`.
    pub reasons: BTreeMap<String, u64>,
    /// The branches that it was asked at, at most 20; none when it was always asked of the tenant as a whole.
    pub branches: Vec<GapBranch>,
    /// How well the best that was ever found for it fits, from 0 to 1; none when nothing was.
    pub best_confidence: Option<f32>,
    /// The ask that was the last.
    pub sample_trace_id: Uuid,
    /// `resolved`, or `open`: nobody said that it is closed, or it was asked again after `resolved_at`.
    pub state: &'static str,
    /// When it was said to be closed.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub resolved_at: Option<OffsetDateTime>,
    /// Who said so.
    pub resolved_by: Option<String>,
    /// What was noted with it, masked.
    pub note: Option<String>,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GapBranch {
    /// The branch.
    pub id: Uuid,
    /// Its name, when the registry knows it.
    pub name: Option<String>,
}

/// Where a page of gaps ended. As text: microseconds since 1970 before which asks count, so that what is asked meanwhile moves
/// nothing; how often the last gap was asked; and when, and by which ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapCursor {
    until: Cursor,
    count: u64,
    at: Cursor,
}

/// All gaps of a range.
struct Gaps {
    all: Vec<Gap>,
    counted: u64,
    since: Option<OffsetDateTime>,
    /// When the newest of the asks began.
    last: Option<OffsetDateTime>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of gaps. What was asked after the first page is on no later one.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the filter is too costly.
    pub async fn gaps(
        &self,
        _: &OwnerScope,
        filter: &GapFilter,
        limit: usize,
        after: Option<GapCursor>,
    ) -> Result<GapPage, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let mut filter = filter.clone();
        if let Some(after) = after {
            filter.until = Some(filter.until.map_or(after.until.ts, |until| until.min(after.until.ts)));
        }
        let Gaps { all, counted, since, last } = gaps(&mut tx, &filter).await?;
        let in_state = |state: GapState| all.iter().filter(|gap| gap.state() == state).count() as u64;
        let counts = GapCounts { open: in_state(GapState::Open), resolved: in_state(GapState::Resolved) };
        let mut shown: Vec<&Gap> =
            all.iter().filter(|gap| filter.state.is_none_or(|state| gap.state() == state)).collect();
        let total = shown.len() as u64;
        if let Some(after) = after {
            shown.retain(|gap| {
                gap.order() > (std::cmp::Reverse(after.count), std::cmp::Reverse((after.at.ts, after.at.id)))
            });
        }
        let more = shown.len() > limit;
        shown.truncate(limit);
        let until = after
            .map(|after| after.until)
            .or_else(|| last.map(|last| Cursor { ts: last + Duration::MICROSECOND, id: Uuid::nil() }));
        let next = until.filter(|_| more).zip(shown.last()).map(|(until, gap)| {
            let at = Cursor { ts: gap.newest.ts, id: gap.newest.trace_id };
            GapCursor { until, count: gap.count, at }
        });
        let items = lines(&mut tx, shown).await?;
        tx.commit().await?;
        Ok(GapPage { items, next, total, counts, counted, complete: since.is_none(), counted_since: since })
    }
}

/// Every gap of a range in the order of the list, with what the owner said of it. The filter's state plays no part.
async fn gaps(tx: &mut OwnerTx, filter: &GapFilter) -> Result<Gaps, DatabaseError> {
    let GapFilter { tenant, since, until, reason, state: _ } = *filter;
    let which = |status: &str, route: Option<&str>| Selection {
        tenant,
        since,
        until,
        status: Some(status.to_owned()),
        route: route.map(str::to_owned),
        ..Selection::default()
    };
    let at = |line: &Missed| Cursor { ts: line.ts, id: line.trace_id };
    let mut pages: Vec<LogPage<Missed>> = Vec::new();
    if reason != Some(GapReason::OutOfDomain) {
        pages.push(newest(tx, which("ABSTAINED", None), GROUPED, MISSED, at).await?);
    }
    // such an ask has a route of that name, which there is an index of
    if reason.is_none_or(|reason| reason == GapReason::OutOfDomain) {
        let route = Some(GapReason::OutOfDomain.as_str());
        pages.push(newest(tx, which("SUCCESS", route), GROUPED, MISSED, at).await?);
    }
    // how far back each kind is known; before the later of the two, not all are
    let reached = |page: &LogPage<Missed>| page.next.and(page.items.last()).map(|line| line.ts);
    let since = pages.iter().filter_map(reached).max();
    let mut missed: Vec<Missed> = pages.into_iter().flat_map(|page| page.items).collect();
    missed.retain(|line| since.is_none_or(|since| line.ts >= since));
    missed.retain(|line| match reason {
        Some(reason) => line.reason == reason.as_str(),
        None => GapReason::ALL.iter().any(|reason| line.reason == reason.as_str()),
    });
    let (counted, last) = (missed.len() as u64, missed.iter().map(|line| line.ts).max());
    let mut all = grouped(missed);
    let (tenants, keys): (Vec<Uuid>, Vec<Uuid>) =
        all.iter().map(|gap| (gap.newest.tenant_id, gap.key)).unzip();
    let said: Vec<GapStanding> =
        sqlx::query_as(SAID).bind(tenants).bind(keys).fetch_all(tx.connection()).await?;
    let mut said: BTreeMap<(Uuid, Uuid), GapStanding> =
        said.into_iter().map(|said| ((said.tenant_id, said.key), said)).collect();
    for gap in &mut all {
        gap.said = said.remove(&(gap.newest.tenant_id, gap.key));
    }
    Ok(Gaps { all, counted, since, last })
}

/// Gaps as they are shown: with the names of branches, and masked.
async fn lines(tx: &mut OwnerTx, gaps: Vec<&Gap>) -> Result<Vec<GapLine>, DatabaseError> {
    let ids: Vec<Uuid> = gaps.iter().flat_map(|gap| gap.branches.iter().take(BRANCHES).copied()).collect();
    let mut names: BTreeMap<Uuid, String> = BTreeMap::new();
    if !ids.is_empty() {
        let found: Vec<(Uuid, String)> = sqlx::query_as(NAMES).bind(ids).fetch_all(tx.connection()).await?;
        names.extend(found);
    }
    let line = |gap: &Gap| {
        let branch = |id: &Uuid| GapBranch { id: *id, name: names.get(id).cloned() };
        let said = gap.said.as_ref();
        let mut line = GapLine {
            key: gap.key,
            tenant_id: gap.newest.tenant_id,
            tenant: gap.newest.tenant.clone(),
            question: gap.newest.question.clone(),
            count: gap.count,
            first_at: gap.first_at,
            last_at: gap.newest.ts,
            reasons: gap.reasons.clone(),
            branches: gap.branches.iter().take(BRANCHES).map(branch).collect(),
            best_confidence: gap.best_confidence,
            sample_trace_id: gap.newest.trace_id,
            state: gap.state().as_str(),
            resolved_at: said.and_then(|said| said.resolved_at),
            resolved_by: said.and_then(|said| said.resolved_by.clone()),
            note: said.and_then(|said| said.note.clone()),
        };
        mask(&mut line.question);
        mask(&mut line.note);
        line
    };
    Ok(gaps.into_iter().map(line).collect())
}

// === impl GapReason ===

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NoDocuments, Self::BelowThreshold, Self::OutOfDomain];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDocuments => "no_documents",
            Self::BelowThreshold => "below_threshold",
            Self::OutOfDomain => "out_of_domain",
        }
    }
}

// === impl GapState ===

impl GapState {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Open, Self::Resolved];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

// === impl GapCursor ===

impl fmt::Display for GapCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.until, self.count, self.at)
    }
}

impl FromStr for GapCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the `next` of the page before";
        let (until, at) =
            text.match_indices('.').nth(1).map(|(end, _)| text.split_at(end)).ok_or(EXPECTED)?;
        let (count, at) = at.trim_start_matches('.').split_once('.').ok_or(EXPECTED)?;
        Ok(Self { until: until.parse()?, count: count.parse().map_err(|_| EXPECTED)?, at: at.parse()? })
    }
}

impl Serialize for GapCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for GapCursor {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GapCursor".into()
    }

    fn json_schema(schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(schemas)
    }
}

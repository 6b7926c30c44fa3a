//! The tenants of the platform: how each is doing, and whether it may go on.

use std::collections::BTreeMap;

use rag_tower::masking;
use rag_tower::postgres::{Count, DatabaseError, Facet, Measures, OwnerTx, PgRollups, Selection};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use crate::auth::OwnerScope;

/// What is shown of a tenant. Keys are those that open something now.
macro_rules! line {
    () => {
        "SELECT t.id, t.slug, t.name, t.status, t.created_at, t.updated_at, coalesce(c.documents, 0) AS documents,
             coalesce(c.chunks, 0) AS chunks,
             (SELECT count(*) FROM rag_tower.api_keys k WHERE k.tenant_id = t.id AND k.revoked_at IS NULL
                 AND (k.expires_at > now() OR k.expires_at IS NULL)) AS keys
         FROM rag_tower.tenants t LEFT JOIN rag_tower.corpora c ON c.tenant_id = t.id"
    };
}

/// Those after a slug whose slug or name holds a text, which is in lower case.
const LIST: &str = concat!(
    line!(),
    " WHERE NOT t.synthetic AND ($1::text IS NULL OR t.slug > $1) AND ($2::text IS NULL OR position($2 in lower(t.slug || ' ' || t.name)) > 0)
      ORDER BY t.slug LIMIT $3"
);
const COUNT: &str = "SELECT count(*) FROM rag_tower.tenants t
     WHERE NOT t.synthetic AND ($1::text IS NULL OR position($1 in lower(t.slug || ' ' || t.name)) > 0)";
const ONE: &str = concat!(line!(), " WHERE t.id = $1 AND NOT t.synthetic");
const BRANCHES: &str =
    "SELECT id, name FROM rag_tower.branches WHERE tenant_id = $1 ORDER BY name, id LIMIT 1000";
const KEYS: &str =
    "SELECT id, name, role, created_at, expires_at, revoked_at FROM rag_tower.api_keys WHERE tenant_id = $1
    ORDER BY created_at DESC, id DESC LIMIT 1000";
/// The quarters in which tenants asked last, as far as they are folded.
const LAST_QUARTERS: &str = "SELECT t.id, (SELECT max(r.bucket) FROM rag_tower.trace_totals r
         WHERE r.tenant_id = t.id AND r.level = 15 AND r.requests > 0) AS bucket
     FROM rag_tower.tenants t WHERE t.id = ANY($1)";
/// When tenants asked last, in these quarters. The first of them spares the planner what came before.
const LAST_ASKS: &str = "SELECT q.id, (SELECT max(x.ts) FROM rag_tower.request_traces x
         WHERE x.tenant_id = q.id AND x.ts >= q.bucket AND x.ts >= $3) AS ts
     FROM unnest($1::uuid[], $2::timestamptz[]) AS q (id, bucket)";
const SET_STATUS: &str = "UPDATE rag_tower.tenants SET status = $2, updated_at = now() WHERE id = $1 AND status = $3 AND NOT synthetic RETURNING slug";
const STATUS: &str = "SELECT status FROM rag_tower.tenants WHERE id = $1 AND NOT synthetic";

/// A tenant in a list.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TenantLine {
    /// The tenant.
    pub id: Uuid,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// `active`, `suspended` or `archived`.
    pub status: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub created_at: OffsetDateTime,
    /// When its name or status changed last.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub updated_at: OffsetDateTime,
    /// How many documents it has.
    pub documents: i64,
    /// How many chunks they have.
    pub chunks: i64,
    /// API keys that open something now.
    pub keys: i64,
    /// Asks of the last 24 hours.
    #[sqlx(skip)]
    pub requests_24h: i64,
    /// Of them those that failed or failed closed.
    #[sqlx(skip)]
    pub errors_24h: i64,
    /// The smallest latency that 95 % of them do not exceed, in milliseconds.
    #[sqlx(skip)]
    pub p95_ms_24h: Option<f64>,
    /// What its asks of this month cost whose price is known, in US dollars; none when no price is.
    #[sqlx(skip)]
    pub cost_month_usd: Option<f64>,
    /// When it asked last.
    #[sqlx(skip)]
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub last_ask_at: Option<OffsetDateTime>,
}

/// Which tenants a list shows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TenantPage {
    /// A part of the slug or the name, whatever its case.
    pub text: Option<String>,
    /// The slug that the page before ended with.
    pub after: Option<String>,
    /// The most tenants.
    pub limit: u32,
}

/// A page of tenants.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Tenants {
    /// The tenants, by slug.
    pub items: Vec<TenantLine>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
    /// How many there are in all; none on a page that a cursor continues.
    pub total: Option<u64>,
}

/// A tenant in full.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TenantDetail {
    /// What a list shows of it.
    #[serde(flatten)]
    pub line: TenantLine,
    /// Its branches.
    pub branches: Vec<TenantBranch>,
    /// Its API keys, the newest first, those that open nothing any more included.
    pub api_keys: Vec<TenantKey>,
}

/// A branch of a tenant.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TenantBranch {
    /// The branch.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// An API key of a tenant. Nobody knows the key itself.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TenantKey {
    /// The key's id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub created_at: OffsetDateTime,
    /// When it stops opening anything.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// Whether a tenant may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its credentials open its data.
    Active,
    /// They open nothing.
    Suspended,
}

/// What came of a change of standing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stood {
    /// The tenant as it is now.
    Done(Box<TenantDetail>),
    /// It is in this state, from which there is no such change.
    Stale(String),
    /// There is no such tenant.
    Missing,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of the tenants, by slug. `month` is when this month began where reports are read.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenants(
        &self,
        _: &OwnerScope,
        page: &TenantPage,
        month: OffsetDateTime,
    ) -> Result<Tenants, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let text = page.text.as_ref().map(|text| text.to_lowercase());
        // one more than the page holds, to know whether another follows
        let list = sqlx::query_as(LIST).bind(&page.after).bind(&text).bind(i64::from(page.limit) + 1);
        let mut lines: Vec<TenantLine> = list.fetch_all(tx.connection()).await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = lines.len() > limit;
        lines.truncate(limit);
        let total: Option<i64> = match page.after {
            Some(_) => None,
            None => Some(sqlx::query_scalar(COUNT).bind(&text).fetch_one(tx.connection()).await?),
        };
        let now = OffsetDateTime::now_utc();
        let day = range(now - Duration::DAY, now);
        let day = PgRollups::by(&mut tx, &day, Facet::Tenant).await?;
        let month = PgRollups::by(&mut tx, &range(month, now), Facet::Tenant).await?;
        let last = last_asks(&mut tx, &lines).await?;
        for line in &mut lines {
            let id = line.id.to_string();
            line.add(day.get(&id), month.get(&id));
            line.last_ask_at = last.get(&line.id).copied();
        }
        let next = lines.last().filter(|_| more).map(|line| line.slug.clone());
        Ok(Tenants { items: lines, next, total: total.map(i64::unsigned_abs) })
    }

    /// A tenant in full; none when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenant(
        &self,
        _: &OwnerScope,
        id: Uuid,
        month: OffsetDateTime,
    ) -> Result<Option<TenantDetail>, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let found = sqlx::query_as(ONE).bind(id).fetch_optional(tx.connection()).await?;
        let Some(mut line): Option<TenantLine> = found else { return Ok(None) };
        let now = OffsetDateTime::now_utc();
        let of = |mut which: Selection| {
            which.tenant = Some(TenantId::new(id));
            which
        };
        let day = PgRollups::by(&mut tx, &of(range(now - Duration::DAY, now)), Facet::Tenant).await?;
        let month = PgRollups::by(&mut tx, &of(range(month, now)), Facet::Tenant).await?;
        line.add(day.get(&id.to_string()), month.get(&id.to_string()));
        line.last_ask_at = last_asks(&mut tx, std::slice::from_ref(&line)).await?.get(&id).copied();
        let branches = sqlx::query_as(BRANCHES).bind(id).fetch_all(tx.connection()).await?;
        let api_keys = sqlx::query_as(KEYS).bind(id).fetch_all(tx.connection()).await?;
        Ok(Some(TenantDetail { line, branches, api_keys }))
    }

    /// Suspends a tenant or lets it go on. From the commit on its keys and tokens open nothing, or what they did before;
    /// connections that are open notice within seconds.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn stand(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        to: Standing,
        reason: Option<&str>,
        month: OffsetDateTime,
    ) -> Result<Stood, DatabaseError> {
        let (from, action) = match to {
            Standing::Suspended => (Standing::Active, "tenant.suspend"),
            Standing::Active => (Standing::Suspended, "tenant.resume"),
        };
        let mut change = self.change(owner).await?;
        let set = sqlx::query_scalar(SET_STATUS).bind(id).bind(to.as_str()).bind(from.as_str());
        let slug: Option<String> = set.fetch_optional(change.connection()).await?;
        let Some(slug) = slug else {
            let now = sqlx::query_scalar(STATUS).bind(id).fetch_optional(change.connection()).await?;
            return Ok(now.map_or(Stood::Missing, Stood::Stale));
        };
        let detail = json!({ "slug": slug, "reason": reason.map(masking::text) });
        change.commit(Entry::new(action).of(id).tenant(id).detail(detail)).await?;
        let tenant = self.tenant(owner, id, month).await?;
        Ok(tenant.map_or(Stood::Missing, |tenant| Stood::Done(Box::new(tenant))))
    }
}

/// When each of these asked last. What was asked within the last second may be missing.
async fn last_asks(
    tx: &mut OwnerTx,
    lines: &[TenantLine],
) -> Result<BTreeMap<Uuid, OffsetDateTime>, DatabaseError> {
    let ids: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
    let quarters: Vec<(Uuid, Option<OffsetDateTime>)> =
        sqlx::query_as(LAST_QUARTERS).bind(ids).fetch_all(tx.connection()).await?;
    let (ids, quarters): (Vec<Uuid>, Vec<OffsetDateTime>) =
        quarters.into_iter().filter_map(|(id, quarter)| Some((id, quarter?))).unzip();
    let Some(first) = quarters.iter().min().copied() else { return Ok(BTreeMap::new()) };
    let asks: Vec<(Uuid, Option<OffsetDateTime>)> = sqlx::query_as(LAST_ASKS)
        .persistent(false)
        .bind(&ids)
        .bind(&quarters)
        .bind(first)
        .fetch_all(tx.connection())
        .await?;
    // where the rows of that day are gone, the quarter is what is known
    let quarters: BTreeMap<_, _> = ids.into_iter().zip(quarters).collect();
    Ok(asks.into_iter().filter_map(|(id, ts)| Some((id, ts.or(quarters.get(&id).copied())?))).collect())
}

fn range(since: OffsetDateTime, until: OffsetDateTime) -> Selection {
    Selection { since: Some(since), until: Some(until), ..Selection::default() }
}

// === impl TenantPage ===

impl TenantPage {
    /// The first so many of all.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { text: None, after: None, limit }
    }
}

// === impl TenantLine ===

impl TenantLine {
    /// Adds what happened in the last day and in this month.
    fn add(&mut self, day: Option<&Measures>, month: Option<&Measures>) {
        if let Some(day) = day {
            self.requests_24h = day[Count::Requests];
            self.errors_24h = day[Count::Errors];
            self.p95_ms_24h = day.latency.quantile(0.95).map(|us| us / 1_000.0);
        }
        let priced = month.filter(|month| month[Count::Priced] > 0);
        self.cost_month_usd = priced.map(|month| month[Count::CostNanos] as f64 / 1e9);
    }
}

// === impl Standing ===

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

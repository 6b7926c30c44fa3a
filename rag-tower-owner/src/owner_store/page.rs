//! Pages of lists that are newest first.

use std::fmt;
use std::str::FromStr;

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::Serialize;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, FromRow, Postgres, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The most items.
    pub limit: u32,
    /// How many to leave out; for reading in order, a cursor is cheaper and misses nothing.
    pub offset: u64,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

/// Where a page ended: the time and the id of its last item. As text: microseconds since 1970, a dot, the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) ts: OffsetDateTime,
    pub(super) id: Uuid,
}

/// One page.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct List<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last.
    pub next: Option<Cursor>,
    /// How many there are in all; none on a page that a cursor continues.
    pub total: Option<u64>,
}

/// What a list is made of. The names are those of `r`, its table, and `t`, the tenants.
pub(super) struct Listing {
    /// What is shown of a row.
    pub(super) columns: &'static str,
    /// The table, which has a `ts` and a `tenant_id`.
    pub(super) table: &'static str,
    /// The column that tells rows of the same time apart.
    pub(super) id: &'static str,
    /// Which rows a filter leaves.
    pub(super) filter: &'static str,
    /// How many parameters the filter has, from `$1` on.
    pub(super) parameters: usize,
}

/// A statement on its way to get its parameters.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

// === impl Listing ===

impl Listing {
    /// The rows of a page. After the filter's parameters come the cursor's time and id, the most rows, and how many to
    /// leave out.
    fn select(&self) -> String {
        let Self { columns, table, id, filter, parameters } = self;
        let [ts, after, limit, offset] = [1, 2, 3, 4].map(|n| parameters + n);
        format!(
            "SELECT {columns} FROM {table} r LEFT JOIN rag_tower.tenants t ON t.id = r.tenant_id
             WHERE {filter} AND (${ts}::timestamptz IS NULL OR (r.ts, r.{id}) < (${ts}, ${after}))
             ORDER BY r.ts DESC, r.{id} DESC LIMIT ${limit} OFFSET ${offset}"
        )
    }

    /// How many rows there are.
    fn count(&self) -> String {
        format!("SELECT count(*) FROM {} r WHERE {}", self.table, self.filter)
    }
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of a list; `bind` gives a statement the parameters of the filter.
    pub(super) async fn page<'q, T>(
        &self,
        listing: &Listing,
        page: &Page,
        bind: impl Fn(Statement<'q>) -> Statement<'q>,
        at: impl Fn(&T) -> Cursor,
    ) -> Result<List<T>, DatabaseError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let statement = |sql: String| bind(sqlx::query(AssertSqlSafe(sql)));
        let mut tx = OwnerTx::begin(&self.database).await?;
        let rows = statement(listing.select())
            .bind(page.after.map(|after| after.ts))
            .bind(page.after.map(|after| after.id))
            .bind(page.fetch())
            .bind(page.skip())
            .fetch_all(tx.connection())
            .await?;
        let total: Option<i64> = match page.after {
            Some(_) => None,
            None => Some(statement(listing.count()).fetch_one(tx.connection()).await?.try_get(0)?),
        };
        tx.commit().await?;
        let items = rows.iter().map(T::from_row).collect::<Result<_, _>>()?;
        Ok(page.list(items, total, at))
    }
}

// === impl Page ===

impl Page {
    /// The first page of so many items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { limit, offset: 0, after: None }
    }

    /// Leaves out so many. Default: 0.
    #[must_use]
    pub fn skipping(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Continues after a cursor. Default: from the newest.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// One more than the page holds, to know whether another follows.
    pub(super) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    pub(super) fn skip(&self) -> i64 {
        i64::try_from(self.offset).unwrap_or(i64::MAX)
    }

    /// A page of what was fetched.
    pub(super) fn list<T>(
        &self,
        mut items: Vec<T>,
        total: Option<i64>,
        at: impl Fn(&T) -> Cursor,
    ) -> List<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(at);
        List { items, next, total: total.map(i64::unsigned_abs) }
    }
}

// === impl Cursor ===

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ts.unix_timestamp_nanos() / 1_000, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the `next` of the page before";
        let (ts, id) = text.split_once('.').ok_or(EXPECTED)?;
        let micros: i64 = ts.parse().map_err(|_| EXPECTED)?;
        // Postgres ends long before the library's own calendar does
        let ts =
            Some(micros).filter(|micros| (0..=253_402_300_799_000_000).contains(micros)).ok_or(EXPECTED)?;
        let ts = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ts) * 1_000).map_err(|_| EXPECTED)?;
        Ok(Self { ts, id: id.parse().map_err(|_| EXPECTED)? })
    }
}

impl schemars::JsonSchema for Cursor {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(schemas)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

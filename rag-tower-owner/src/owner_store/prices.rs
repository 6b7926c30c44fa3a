//! The price book, as the owner keeps it: prices with the moments from which they hold. Each change has the asks that it
//! touches priced again.

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use crate::auth::OwnerScope;

/// The most prices.
pub const MAX_PRICES: i64 = 1_000;

const PRICES: &str = "SELECT id, model, effective_from, input_per_million::float8 AS input_per_million,
        output_per_million::float8 AS output_per_million, note, created_at
    FROM rag_tower.prices ORDER BY model, effective_from DESC";
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('rag_tower.prices'))";
const COUNT: &str = "SELECT count(*) FROM rag_tower.prices";
const ADD: &str = "INSERT INTO rag_tower.prices (id, model, effective_from, input_per_million, output_per_million, note)
    VALUES ($1, $2, $3, $4::float8::numeric, $5::float8::numeric, $6) ON CONFLICT (model, effective_from) DO NOTHING
    RETURNING id, model, effective_from, input_per_million::float8 AS input_per_million,
        output_per_million::float8 AS output_per_million, note, created_at";
const DROP: &str = "DELETE FROM rag_tower.prices WHERE id = $1 RETURNING model, effective_from";
/// The asks between a price and the next of its model. Those that other servers still write by the book that they have are
/// among them: they look into it more often than that.
const REPRICE: &str = "INSERT INTO rag_tower.repricings (id, model, at, until)
    SELECT $1, $2, $3, n.until
    FROM (SELECT least((SELECT min(p.effective_from) FROM rag_tower.prices p WHERE p.model = $2 AND p.effective_from > $3),
                       now() + interval '2 minutes') AS until) n
    WHERE n.until > $3";
/// How many asks are left, about, and how many are done of what is under way.
const REPRICING: &str = "SELECT coalesce(sum((SELECT sum(s.requests) FROM rag_tower.system_rollups s
             WHERE s.level = 1440 AND s.model = r.model AND s.bucket >= r.at AND s.bucket < r.until)), 0)::bigint,
        coalesce(sum(r.done), 0)::bigint
    FROM rag_tower.repricings r HAVING count(*) > 0";

/// What a model costs from a moment on.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct PriceLine {
    /// The price.
    pub id: Uuid,
    /// The model, as asks name it.
    pub model: String,
    /// From when on; until the next of the model begins.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub effective_from: OffsetDateTime,
    /// US dollars for a million tokens of prompts.
    pub input_per_million: f64,
    /// US dollars for a million tokens of answers.
    pub output_per_million: f64,
    /// What the owner noted.
    pub note: Option<String>,
    /// When it was entered.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub created_at: OffsetDateTime,
}

/// Asks that are being priced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Repricing {
    /// About how many are left.
    pub left: i64,
    /// How many have been looked at.
    pub done: i64,
}

/// The price book.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct PriceList {
    /// The prices, by model, the newest first.
    pub items: Vec<PriceLine>,
    /// All prices are on one page.
    pub next: Option<String>,
    /// How many there are.
    pub total: usize,
    /// What is being priced again; none when nothing is.
    pub repricing: Option<Repricing>,
}

/// What came of adding a price.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AddedPrice {
    /// It is in the book.
    Added(PriceLine),
    /// The model has a price from this moment on.
    Twice,
    /// There are [`MAX_PRICES`].
    TooMany,
}

/// A price to add.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPrice<'p> {
    pub(crate) model: &'p str,
    pub(crate) effective_from: OffsetDateTime,
    pub(crate) input_per_million: f64,
    pub(crate) output_per_million: f64,
    pub(crate) note: Option<&'p str>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// The price book, and what is being priced again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn prices(&self, _: &OwnerScope) -> Result<PriceList, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let items: Vec<PriceLine> = sqlx::query_as(PRICES).fetch_all(tx.connection()).await?;
        let repricing: Option<(i64, i64)> = sqlx::query_as(REPRICING).fetch_optional(tx.connection()).await?;
        let repricing = repricing.map(|(left, done)| Repricing { left, done });
        Ok(PriceList { total: items.len(), items, next: None, repricing })
    }

    /// Adds a price, and has the asks priced again that it holds for.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn add_price(
        &self,
        owner: &OwnerScope,
        new: NewPrice<'_>,
    ) -> Result<AddedPrice, DatabaseError> {
        let mut change = self.change(owner).await?;
        // prices change one after the other, so that each knows the next
        sqlx::query(LOCK).execute(change.connection()).await?;
        let prices: i64 = sqlx::query_scalar(COUNT).fetch_one(change.connection()).await?;
        if prices >= MAX_PRICES {
            return Ok(AddedPrice::TooMany);
        }
        let added: Option<PriceLine> = sqlx::query_as(ADD)
            .bind(Uuid::now_v7())
            .bind(new.model)
            .bind(new.effective_from)
            .bind(new.input_per_million)
            .bind(new.output_per_million)
            .bind(new.note)
            .fetch_optional(change.connection())
            .await?;
        let Some(price) = added else { return Ok(AddedPrice::Twice) };
        reprice(change.connection(), &price.model, price.effective_from).await?;
        let detail = json!({
            "model": price.model, "effective_from": price.effective_from.unix_timestamp(),
            "input_per_million": price.input_per_million, "output_per_million": price.output_per_million,
        });
        change.commit(Entry::new("price.create").of(price.id).detail(detail)).await?;
        Ok(AddedPrice::Added(price))
    }

    /// Takes a price out of the book, and has the asks priced again that it held for; false when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn drop_price(&self, owner: &OwnerScope, id: Uuid) -> Result<bool, DatabaseError> {
        let mut change = self.change(owner).await?;
        sqlx::query(LOCK).execute(change.connection()).await?;
        let gone: Option<(String, OffsetDateTime)> =
            sqlx::query_as(DROP).bind(id).fetch_optional(change.connection()).await?;
        let Some((model, since)) = gone else { return Ok(false) };
        reprice(change.connection(), &model, since).await?;
        let detail = json!({ "model": model, "effective_from": since.unix_timestamp() });
        change.commit(Entry::new("price.delete").of(id).detail(detail)).await?;
        Ok(true)
    }
}

async fn reprice(
    connection: &mut PgConnection,
    model: &str,
    since: OffsetDateTime,
) -> Result<(), DatabaseError> {
    sqlx::query(REPRICE).bind(Uuid::now_v7()).bind(model).bind(since).execute(connection).await?;
    Ok(())
}

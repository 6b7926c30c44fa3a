//! Rows, priced as they are written; and asks that were written before a price was known or changed, priced again.

use sqlx::Row;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::database::{Database, Role};
use super::error::DatabaseError;
use super::rollups::{PgRollups, nanos};
use super::sql;
use crate::answer::Usage;
use crate::ask::AskId;
use crate::error::BoxError;
use crate::trace::{PriceBook, Prices, TraceRow, TraceStore};

/// The asks of one step are within so much time: it bounds how many rows of other models a step passes over.
const STEP: Duration = Duration::hours(6);

/// A store that prices what it writes: asks of a model whose cost nobody has set, by the book as it is then. One without a
/// price stays without a cost.
#[derive(Clone, Debug)]
pub struct Priced<S> {
    store: S,
    prices: Prices,
}

/// Prices in the database of a server.
#[derive(Clone, Debug)]
pub struct PgPrices {
    database: Database,
    rollups: PgRollups,
}

/// What a step of pricing again has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repriced {
    /// Asks whose cost is another now.
    pub changed: usize,
    /// False when there is nothing to do at present.
    pub more: bool,
}

// === impl Priced ===

impl<S> Priced<S> {
    /// Prices what goes to `store`.
    pub fn new(store: S, prices: Prices) -> Self {
        Self { store, prices }
    }
}

impl<S: TraceStore> TraceStore for Priced<S> {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        let book = self.prices.book();
        if book.is_empty() {
            return self.store.write(rows).await;
        }
        let priced = rows.iter().map(|row| {
            let mut row = row.clone();
            if let (None, Some(model), Some(usage)) = (row.cost_estimate, &row.llm_model, row.usage) {
                row.cost_estimate = book.cost(model, row.ts, usage);
            }
            row
        });
        self.store.write(&priced.collect::<Vec<_>>()).await
    }
}

// === impl PgPrices ===

impl PgPrices {
    /// Those of this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), rollups: PgRollups::new(database) }
    }

    /// The book as it is now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn book(&self) -> Result<PriceBook, DatabaseError> {
        let mut tx = self.database.begin(Role::Jobs, None).await?;
        let mut book = PriceBook::default();
        for row in sqlx::query(sql::PRICES).fetch_all(&mut *tx).await? {
            let model: String = row.try_get(0)?;
            book = book.with(model, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        }
        Ok(book)
    }

    /// Prices some of the asks again whose price has changed, at most `rows` of them, in one transaction with what that changes in
    /// the rollups. Any number of processes may call it: each takes other work.
    ///
    /// # Cancellation
    /// Dropping it undoes the step, or has it done once more, which changes nothing.
    ///
    /// # Errors
    /// [`DatabaseError`]; it may be tried again.
    pub async fn reprice(&self, rows: u32) -> Result<Repriced, DatabaseError> {
        let book = self.book().await?;
        let mut tx = self.database.begin(Role::Folder, None).await?;
        // it stays locked until the step is noted
        let Some(work) = sqlx::query(sql::NEXT_REPRICING).fetch_optional(&mut *tx).await? else {
            return Ok(Repriced::default());
        };
        let (id, model, until): (Uuid, String, OffsetDateTime) =
            (work.try_get(0)?, work.try_get(1)?, work.try_get(4)?);
        let (at, after): (OffsetDateTime, Uuid) = (work.try_get(2)?, work.try_get(3)?);
        let now = OffsetDateTime::now_utc();
        // days without any are passed over
        let day: Option<OffsetDateTime> =
            sqlx::query_scalar(sql::NEXT_DAY_OF_MODEL).bind(&model).bind(at).fetch_one(&mut *tx).await?;
        let from = at.max(day.unwrap_or(until).min(now - Duration::DAY));
        let end = until.min(from.saturating_add(STEP)).min(now);
        let limit = i64::from(rows.max(1));
        let asks = sqlx::query(sql::ASKS_OF_MODEL)
            .bind(&model)
            .bind(from)
            .bind(if from == at { after } else { Uuid::nil() })
            .bind(end)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await?;
        let mut changed = Vec::new();
        for ask in &asks {
            let count = |column: usize| Ok::<_, DatabaseError>(ask.try_get::<Option<i64>, _>(column)?);
            let cost = match (count(2)?, count(3)?) {
                (Some(input), Some(output)) => {
                    let mut usage = Usage::default();
                    (usage.input_tokens, usage.output_tokens) = (input.unsigned_abs(), output.unsigned_abs());
                    book.cost(&model, ask.try_get(1)?, usage)
                }
                _ => None,
            };
            if nanos(cost) != count(4)? {
                changed.push((AskId::new(ask.try_get(0)?), cost));
            }
        }
        if !changed.is_empty() {
            self.rollups.reprice(&changed).await?;
        }
        let (at, after) = match asks.last() {
            Some(last) if asks.len() as i64 >= limit => (last.try_get(1)?, last.try_get(0)?),
            _ => (end, Uuid::nil()),
        };
        let done = i64::try_from(asks.len()).unwrap_or(i64::MAX);
        let step = sqlx::query(sql::NOTE_REPRICING).bind(id).bind(at).bind(after).bind(done);
        step.execute(&mut *tx).await?;
        sqlx::query(sql::END_REPRICING).bind(id).execute(&mut *tx).await?;
        tx.commit().await?;
        // what is to be done up to a moment that is still to come waits for it
        Ok(Repriced { changed: changed.len(), more: end < now })
    }
}

//! What there is of the demo data, and who is at it: one row in the database, so that a server and a command do not both
//! fill, and that what broke off is gone on with.

use std::time::Duration;

use rag_tower::postgres::{Database, DatabaseError, OwnerTx};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::traffic::Traffic;

/// Who has not been seen for so long is not at it any more.
const SILENT: Duration = Duration::from_mins(1);
/// The most days that are filled.
const DAYS: i32 = 30;

const READ: &str = "SELECT state, until, days, rows, done,
        worker IS NULL OR seen_at < now() - $1 * interval '1 second' AS idle
    FROM rag_tower.demo_data";
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('rag_tower.demo_data'))";
/// Whole days since which rows are kept.
const KEPT: &str = "SELECT extract(epoch FROM $1 - nullif(kept_since, '-infinity'))::float8 / 86400
    FROM rag_tower.trace_horizon";
const WRITE: &str = "INSERT INTO rag_tower.demo_data (state, until, days, rows, done, worker) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (one) DO UPDATE SET state = excluded.state, done = excluded.done, worker = excluded.worker, seen_at = now()";
const STEP: &str = "UPDATE rag_tower.demo_data SET done = done + $2, seen_at = now() WHERE worker = $1";
const FILLED: &str =
    "UPDATE rag_tower.demo_data SET state = 'there', done = rows, worker = NULL WHERE worker = $1";
const GONE: &str = "DELETE FROM rag_tower.demo_data WHERE worker = $1";
const LEFT: &str = "UPDATE rag_tower.demo_data SET worker = NULL WHERE worker = $1";

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    None,
    Filling,
    There,
    Removing,
}

/// What there is.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Asks in all.
    pub(crate) rows: i64,
    /// How many are written, or removed.
    pub(crate) done: i64,
    /// True when it broke off: filling again goes on with it, removing removes what is there.
    pub(crate) stopped: bool,
    /// When the last of them was asked.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub(crate) until: Option<OffsetDateTime>,
}

/// A piece of work that is somebody's.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    worker: Uuid,
    pub(crate) until: OffsetDateTime,
    pub(crate) days: u32,
    pub(crate) rows: i64,
    pub(crate) what: What,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Fill,
    Remove,
}

/// Why there is nothing to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is there already.
    There,
    /// There is none.
    None,
    /// Somebody is at it.
    Busy,
}

#[derive(FromRow)]
struct Record {
    state: String,
    until: OffsetDateTime,
    days: i32,
    rows: i64,
    done: i64,
    idle: bool,
}

/// What there is now.
pub(crate) async fn status(database: &Database) -> Result<Status, DatabaseError> {
    let mut tx = OwnerTx::begin(database).await?;
    let record = read(tx.connection()).await?;
    tx.commit().await?;
    Ok(record.map_or_else(Status::none, |record| record.status()))
}

/// Takes the work on, when there is something to do and nobody is at it.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    what: What,
) -> Result<Result<Work, Refusal>, DatabaseError> {
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let record = read(connection).await?;
    let refusal = match (&record, what) {
        (Some(record), _) if record.is_busy() => Some(Refusal::Busy),
        (Some(record), What::Fill) if record.state != "filling" => Some(Refusal::There),
        (None, What::Remove) => Some(Refusal::None),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let (until, days, rows) = match record {
        Some(record) => (record.until, record.days, record.rows),
        None => {
            // to the second, so that it is the same when it is read again
            let now = OffsetDateTime::now_utc();
            let until = now - time::Duration::nanoseconds(now.nanosecond().into());
            let kept: Option<f64> = sqlx::query_scalar(KEPT).bind(until).fetch_one(&mut *connection).await?;
            let days = kept.map_or(DAYS, |kept| (kept as i32).clamp(1, DAYS));
            let asks = Traffic::new(until).map_or(0, |traffic| traffic.asks(days.unsigned_abs()));
            (until, days, i64::try_from(asks).unwrap_or(i64::MAX))
        }
    };
    let work = Work { worker: Uuid::now_v7(), until, days: days.unsigned_abs(), rows, what };
    let state = match what {
        What::Fill => "filling",
        What::Remove => "removing",
    };
    sqlx::query(WRITE)
        .bind(state)
        .bind(until)
        .bind(days)
        .bind(rows)
        // what is there already is met again, and counted
        .bind(0_i64)
        .bind(work.worker)
        .execute(connection)
        .await?;
    Ok(Ok(work))
}

async fn read(connection: &mut PgConnection) -> Result<Option<Record>, DatabaseError> {
    Ok(sqlx::query_as(READ).bind(SILENT.as_secs_f64()).fetch_optional(connection).await?)
}

// === impl Work ===

impl Work {
    /// Notes that so many asks more are done. False when the work has become another's.
    pub(super) async fn step(&self, database: &Database, asks: i64) -> Result<bool, DatabaseError> {
        let mut tx = OwnerTx::change(database).await?;
        let done = sqlx::query(STEP).bind(self.worker).bind(asks).execute(tx.connection()).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that all is done.
    pub(super) async fn finish(&self, database: &Database) -> Result<(), DatabaseError> {
        let finished = match self.what {
            What::Fill => FILLED,
            What::Remove => GONE,
        };
        self.note(database, finished).await
    }

    /// Notes that nobody is at it any more.
    pub(super) async fn leave(&self, database: &Database) -> Result<(), DatabaseError> {
        self.note(database, LEFT).await
    }

    async fn note(&self, database: &Database, statement: &'static str) -> Result<(), DatabaseError> {
        let mut tx = OwnerTx::change(database).await?;
        sqlx::query(statement).bind(self.worker).execute(tx.connection()).await?;
        tx.commit().await
    }
}

// === impl Record ===

impl Record {
    fn is_busy(&self) -> bool {
        self.state != "there" && !self.idle
    }

    fn status(&self) -> Status {
        let state = match self.state.as_str() {
            "filling" => State::Filling,
            "removing" => State::Removing,
            _ => State::There,
        };
        let stopped = state != State::There && self.idle;
        Status { state, rows: self.rows, done: self.done, stopped, until: Some(self.until) }
    }
}

// === impl Status ===

impl Status {
    fn none() -> Self {
        Self { state: State::None, rows: 0, done: 0, stopped: false, until: None }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Why, in a sentence.
    pub(crate) const fn said(self) -> &'static str {
        match self {
            Self::There => "the demo data is there already: remove it first",
            Self::None => "there is no demo data",
            Self::Busy => "the demo data is being filled or removed: wait until that is done",
        }
    }
}

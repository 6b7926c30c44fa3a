//! Trace rows to `rag_tower.request_traces`: a batch in, one statement out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::database::{Database, Role};
use super::error::DatabaseError;
use super::rollups::{self, micros, nanos, tokens};
use super::text::{clean, clean_json};
use super::{hits, search_text, sources, spans, sql};
use crate::ask::AskId;
use crate::error::{BoxError, Error, ErrorKind, Stage};
use crate::trace::{TraceRow, TraceStore};

/// Keeps trace rows in Postgres.
///
/// A batch is one transaction, all or nothing: an `INSERT` from an array for each column, and what its new rows add to the
/// [rollups](super::PgRollups). A row that is there already is left as it is, so that
/// a batch may be written again after an error whose outcome is unknown. Days without a partition get one first. A
/// batch with a row that Postgres can never accept is refused as [`InvalidInput`](ErrorKind::InvalidInput).
#[derive(Clone, Debug)]
pub struct PgTraceStore {
    database: Database,
    /// Days that have a partition, as far as this process knows.
    days: Arc<Mutex<BTreeSet<Date>>>,
}

// === impl PgTraceStore ===

impl PgTraceStore {
    /// Writes through this database: as the writer's role, or as the login itself when it is an application's own.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), days: Arc::default() }
    }

    /// Writes a batch and returns the ids that were new.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing of the batch is then known to be written.
    pub async fn insert(&self, rows: &[TraceRow]) -> Result<Vec<AskId>, DatabaseError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match self.insert_once(rows).await {
            // a partition that this process knew has been dropped meanwhile: look again
            Err(error) if error.code().as_deref() == Some("23514") && self.forget_days() => {
                self.insert_once(rows).await
            }
            other => other,
        }
    }

    async fn insert_once(&self, rows: &[TraceRow]) -> Result<Vec<AskId>, DatabaseError> {
        let mut tx = self.database.begin(Role::Writer, None).await?;
        let days = self.unknown_days(rows);
        for day in &days {
            sqlx::query(sql::ENSURE_PARTITION).bind(day).execute(&mut *tx).await?;
        }
        let new = insert_statement(rows).fetch_all(&mut *tx).await?;
        rollups::append(&mut tx, rows, &new).await?;
        tx.commit().await?;
        self.days.lock().unwrap_or_else(PoisonError::into_inner).extend(days);
        Ok(new.into_iter().map(AskId::new).collect())
    }

    fn unknown_days(&self, rows: &[TraceRow]) -> BTreeSet<Date> {
        let known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let days = rows.iter().map(|row| row.ts.to_offset(time::UtcOffset::UTC).date());
        days.filter(|day| !known.contains(day)).collect()
    }

    /// True when there was something to forget.
    fn forget_days(&self) -> bool {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::take(&mut *days).is_empty()
    }
}

impl TraceStore for PgTraceStore {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        match self.insert(rows).await {
            Ok(_) => Ok(()),
            Err(error) if is_bad_data(&error) => {
                Err(Error::new(ErrorKind::InvalidInput, Stage::Trace).with_source(error).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// True for a data exception or a violated constraint: writing the same again cannot help.
fn is_bad_data(error: &DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// One array for each column, in the statement's order.
fn insert_statement(rows: &[TraceRow]) -> QueryScalar<'_, Postgres, Uuid, PgArguments> {
    fn all<'a, T>(rows: &'a [TraceRow], column: impl FnMut(&'a TraceRow) -> T) -> Vec<T> {
        rows.iter().map(column).collect()
    }
    fn text<'a>(value: Option<&'a Arc<str>>) -> Option<Cow<'a, str>> {
        value.map(|value| clean(value))
    }
    sqlx::query_scalar(sql::INSERT_TRACES)
        .bind(all(rows, |row| row.trace_id.as_uuid()))
        .bind(all(rows, |row| -> OffsetDateTime { row.ts }))
        .bind(all(rows, |row| row.tenant_id.as_uuid()))
        .bind(all(rows, |row| row.branch_id.map(|branch| branch.as_uuid())))
        .bind(all(rows, |row| text(row.request_id.as_ref())))
        .bind(all(rows, |row| row.session_id.map(|session| session.as_uuid())))
        .bind(all(rows, |row| text(row.subject.as_ref())))
        .bind(all(rows, |row| row.channel.as_str()))
        .bind(all(rows, |row| text(row.route.as_ref())))
        .bind(all(rows, |row| row.outcome.status().as_str()))
        .bind(all(rows, |row| row.outcome.finish()))
        .bind(all(rows, |row| row.outcome.reason().map(clean)))
        .bind(all(rows, |row| text(row.question.as_ref())))
        .bind(all(rows, |row| text(row.answer.as_ref())))
        .bind(all(rows, |row| micros(row.latency)))
        .bind(all(rows, |row| row.ttft.map(micros)))
        .bind(all(rows, |row| row.usage.map(|usage| tokens(usage.input_tokens))))
        .bind(all(rows, |row| row.usage.map(|usage| tokens(usage.output_tokens))))
        .bind(all(rows, |row| row.usage.is_some_and(|usage| usage.estimated)))
        .bind(all(rows, |row| nanos(row.cost_estimate)))
        .bind(all(rows, |row| text(row.llm_provider.as_ref())))
        .bind(all(rows, |row| text(row.llm_model.as_ref())))
        .bind(all(rows, |row| row.confidence))
        .bind(all(rows, |row| row.outcome.error_kind().map(|kind| kind.as_str())))
        .bind(all(rows, |row| match row.outcome {
            crate::trace::Outcome::Failed(_, stage) => Some(stage.as_str()),
            _ => None,
        }))
        .bind(all(rows, |row| text(row.error.as_ref())))
        .bind(all(rows, |row| json_of(&row.degraded)))
        .bind(all(rows, |row| json_of(&sources::kept(&row.sources))))
        .bind(all(rows, |row| json_of(&row.tool_metadata)))
        .bind(all(rows, |row| spans::kept(&row.spans)))
        .bind(all(rows, |row| hits::kept(&row.hits).map_or_else(|| "[]".into(), |kept| json_of(&kept))))
        .bind(all(rows, |row| search_text::of_row(row.question.as_deref(), row.answer.as_deref())))
        .bind(all(rows, |row| row.receipt.as_ref().map(json_of)))
}

/// JSON as text, which Postgres parses: there is no need for a tree of values in between.
///
/// Cannot fail for the types of a row; null would say that it did.
fn json_of(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
    if !text.contains("\\u0000") {
        return text;
    }
    // a NUL, or a backslash before the same letters: only the tree tells
    serde_json::from_str(&text).map_or(text, |value| clean_json(value).to_string())
}

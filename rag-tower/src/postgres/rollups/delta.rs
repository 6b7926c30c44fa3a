//! What a batch adds to the rollups: the rows of it that were new in, one entry for each key out.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};
use uuid::Uuid;

use super::key::{Facets, Key, Level, Table};
use super::measures::{Count, Measures};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::text::clean;
use crate::trace::TraceRow;

/// Sums by key.
pub(super) type Sums = BTreeMap<Key, Measures>;

/// The cost of an ask in US dollars x 1e-9, which is how exactly it is kept; none when it is unknown.
pub(in crate::postgres) fn nanos(dollars: Option<f64>) -> Option<i64> {
    // a float that is too large becomes the largest whole number
    dollars.filter(|dollars| dollars.is_finite()).map(|dollars| (dollars * 1e9).round() as i64)
}

/// Whole microseconds.
pub(in crate::postgres) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A count of tokens, as a column takes it.
pub(in crate::postgres) fn tokens(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Writes down what those of `rows` add whose ids are `new`, each once. What counts nowhere adds nothing.
pub(in crate::postgres) async fn append(
    connection: &mut PgConnection,
    rows: &[TraceRow],
    new: &[Uuid],
) -> Result<(), DatabaseError> {
    let mut new: HashSet<Uuid> = new.iter().copied().collect();
    let mut sums = Sums::new();
    // of two rows with one id the first was taken
    for row in rows.iter().filter(|row| new.remove(&row.trace_id.as_uuid()) && row.channel.counts()) {
        count(row, sums.entry(key_of(row)).or_default());
    }
    insert(connection, &sums).await
}

/// Writes sums down as one delta.
pub(super) async fn insert(connection: &mut PgConnection, sums: &Sums) -> Result<(), DatabaseError> {
    if !sums.is_empty() {
        bind_measures(bind_keys(sqlx::query(sql::INSERT_DELTA), sums.keys()), sums.values())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Adds sums of quarters to the rows of a table that they are part of, at every level.
pub(super) fn project(sums: &Sums, table: Table, into: &mut Sums) {
    for (key, sum) in sums {
        for level in Level::ALL {
            into.entry(key.within(table, level)).or_default().merge(sum);
        }
    }
}

fn key_of(row: &TraceRow) -> Key {
    let text =
        |value: Option<&std::sync::Arc<str>>| value.map_or_else(String::new, |v| clean(v).into_owned());
    let facets = Facets {
        route: text(row.route.as_ref()),
        status: row.outcome.status().as_str().to_owned(),
        channel: row.channel.as_str().to_owned(),
        model: text(row.llm_model.as_ref()),
    };
    Key::new(row.ts, row.tenant_id.as_uuid(), facets)
}

fn count(row: &TraceRow, sum: &mut Measures) {
    sum.add(Count::Requests, 1);
    if let Some(kind) = Count::of_status(row.outcome.status().as_str()) {
        sum.add(kind, 1);
    }
    if let Some(usage) = row.usage {
        sum.add(Count::Estimated, i64::from(usage.estimated));
        sum.add(Count::InputTokens, tokens(usage.input_tokens));
        sum.add(Count::OutputTokens, tokens(usage.output_tokens));
    }
    if let Some(cost) = nanos(row.cost_estimate) {
        sum.add(Count::Priced, 1);
        sum.add(Count::CostNanos, cost);
    }
    let latency = micros(row.latency);
    sum.add(Count::LatencyUs, latency);
    sum.latency.add(latency.unsigned_abs());
    if let Some(ttft) = row.ttft.map(micros) {
        sum.add(Count::TtftUs, ttft);
        sum.ttft.add(ttft.unsigned_abs());
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds bucket, tenant and facets, an array each.
pub(super) fn bind_keys<'q, 'k>(
    statement: Statement<'q>,
    keys: impl Iterator<Item = &'k Key> + Clone,
) -> Statement<'q> {
    fn all<'k, T>(keys: impl Iterator<Item = &'k Key>, column: impl FnMut(&'k Key) -> T) -> Vec<T> {
        keys.map(column).collect()
    }
    statement
        .bind(all(keys.clone(), |key| key.bucket))
        .bind(all(keys.clone(), |key| key.tenant))
        .bind(all(keys.clone(), |key| key.facets.route.clone()))
        .bind(all(keys.clone(), |key| key.facets.status.clone()))
        .bind(all(keys.clone(), |key| key.facets.channel.clone()))
        .bind(all(keys, |key| key.facets.model.clone()))
}

/// Binds what was added up, an array for each count and histogram.
pub(super) fn bind_measures<'q, 'm>(
    mut statement: Statement<'q>,
    sums: impl Iterator<Item = &'m Measures> + Clone,
) -> Statement<'q> {
    for what in Count::ALL {
        statement = statement.bind(sums.clone().map(|sum| sum[what]).collect::<Vec<_>>());
    }
    statement
        .bind(sums.clone().map(|sum| sum.latency.to_bytes()).collect::<Vec<_>>())
        .bind(sums.map(|sum| sum.ttft.to_bytes()).collect::<Vec<_>>())
}

/// Bucket, tenant and facets from the columns at `from`.
pub(super) fn key_at(row: &PgRow, from: usize) -> Result<Key, DatabaseError> {
    let facets = Facets {
        route: row.try_get(from + 2)?,
        status: row.try_get(from + 3)?,
        channel: row.try_get(from + 4)?,
        model: row.try_get(from + 5)?,
    };
    Ok(Key::new(row.try_get(from)?, row.try_get(from + 1)?, facets))
}

/// Adds the counts and histograms of the columns at `from`.
pub(super) fn add_row(sum: &mut Measures, row: &PgRow, from: usize) -> Result<(), DatabaseError> {
    for (n, what) in Count::ALL.into_iter().enumerate() {
        sum.add(what, row.try_get(from + n)?);
    }
    let histograms = from + Count::ALL.len();
    sum.merge_sketches(row.try_get(histograms)?, row.try_get(histograms + 1)?)
        .map_err(|error| DatabaseError::Unreadable(std::sync::Arc::new(error)))
}

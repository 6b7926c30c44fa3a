//! A filter and where to look in, a statement out. Only what is asked for is in it, so that each is planned for its own.

use rag_tower::postgres::{SearchText, Selection};
use sqlx::postgres::Postgres;
use sqlx::{QueryBuilder, Row};
use time::OffsetDateTime;

use super::LogFilter;
use crate::owner_store::page::Cursor;

/// What is read of a row `r`, and what is shown of it as `x`. What has to be worked out is shown and not read, so that it is
/// worked out for the rows of the page alone. Both have `ts` and `trace_id`.
#[derive(Clone, Copy)]
pub(in crate::owner_store) struct Shape {
    pub(in crate::owner_store) read: &'static str,
    pub(in crate::owner_store) shown: &'static str,
    pub(in crate::owner_store) joined: &'static str,
}

/// From a moment, until before another.
pub(super) type Stretch = (OffsetDateTime, OffsetDateTime);

/// The rows to look at: of a filter apart from its text, within stretches, after a cursor.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) filter: &'a LogFilter,
    /// The newest first.
    pub(super) stretches: &'a [Stretch],
    pub(super) after: Option<Cursor>,
}

const ORDER: &str = "ORDER BY ts DESC, trace_id DESC";

// === impl Rows ===

impl Rows<'_> {
    /// The newest of them, without the first `skip`.
    pub(super) fn newest(&self, shape: Shape, limit: i64, skip: i64) -> QueryBuilder<Postgres> {
        let Shape { read, shown, joined } = shape;
        let mut sql = QueryBuilder::new(format!("SELECT {shown} FROM (SELECT {read} FROM "));
        self.matching(&mut sql);
        sql.push(" ORDER BY r.ts DESC, r.trace_id DESC LIMIT ").push_bind(limit);
        sql.push(" OFFSET ").push_bind(skip);
        sql.push(format!(") x {joined} {ORDER}"));
        sql
    }

    /// Those of the newest `chunk` that hold the text, and the last of the chunk. The column `found` says which do.
    pub(super) fn scanned(&self, shape: Shape, text: &SearchText, chunk: i64) -> QueryBuilder<Postgres> {
        let Shape { read, shown, joined } = shape;
        let mut sql = QueryBuilder::new(format!("SELECT {shown}, coalesce(x.search_text LIKE "));
        sql.push_bind(text.pattern());
        sql.push(format!(
            ", false) AS found, x.n FROM (SELECT {read}, r.search_text,
             row_number() OVER (ORDER BY r.ts DESC, r.trace_id DESC) AS n FROM "
        ));
        self.matching(&mut sql);
        sql.push(" ORDER BY r.ts DESC, r.trace_id DESC LIMIT ").push_bind(chunk);
        sql.push(format!(") x {joined} WHERE x.search_text LIKE ")).push_bind(text.pattern());
        sql.push(" OR x.n = ").push_bind(chunk).push(format!(" {ORDER}"));
        sql
    }

    /// The newest that hold the text, from the index on it. The fence keeps the planner from walking the rows in order
    /// until it has met enough: it has no idea how rare a text is.
    pub(super) fn indexed(&self, shape: Shape, text: &SearchText, limit: i64) -> QueryBuilder<Postgres> {
        let Shape { read, shown, joined } = shape;
        let mut sql = QueryBuilder::new(format!("SELECT {shown} FROM (SELECT * FROM (SELECT {read} FROM "));
        self.matching(&mut sql);
        sql.push(" AND r.search_text LIKE ").push_bind(text.pattern());
        sql.push(format!(" OFFSET 0) f {ORDER} LIMIT ")).push_bind(limit);
        sql.push(format!(") x {joined} {ORDER}"));
        sql
    }

    /// The table and the conditions.
    fn matching(&self, sql: &mut QueryBuilder<Postgres>) {
        let LogFilter { which, text: _, fine } = self.filter;
        let Selection { tenant, since, until, route, status, channel, model } = which;
        // what counts nowhere is in no list: the rollups, which say where to look, do not know of it
        sql.push("rag_tower.request_traces r WHERE r.channel <> 'canary'");
        if let Some(tenant) = tenant {
            sql.push(" AND r.tenant_id = ").push_bind(tenant.as_uuid());
        }
        for (column, value) in
            [("route", route), ("status", status), ("channel", channel), ("llm_model", model)]
        {
            if let Some(value) = value {
                // a column that is empty is null, and the rollups say that it is empty
                match value.as_str() {
                    "" => sql.push(format!(" AND r.{column} IS NULL")),
                    value => sql.push(format!(" AND r.{column} = ")).push_bind(value.to_owned()),
                };
            }
        }
        fine.push(sql);
        let first = self.stretches.last().map(|(since, _)| *since).max(*since);
        if let Some(first) = first {
            sql.push(" AND r.ts >= ").push_bind(first);
        }
        let newest = self.stretches.first().map(|(_, until)| *until);
        if let Some(last) = newest.into_iter().chain(*until).min() {
            sql.push(" AND r.ts < ").push_bind(last);
        }
        if let Some(after) = self.after {
            // the first is implied, and is what leaves out partitions
            sql.push(" AND r.ts <= ").push_bind(after.ts);
            sql.push(" AND (r.ts, r.trace_id) < (")
                .push_bind(after.ts)
                .push(", ")
                .push_bind(after.id)
                .push(")");
        }
        let stretches = joined(self.stretches);
        if stretches.len() > 1 {
            sql.push(" AND (false");
            for (since, until) in stretches {
                sql.push(" OR r.ts >= ").push_bind(since).push(" AND r.ts < ").push_bind(until);
            }
            sql.push(")");
        }
    }
}

/// Stretches that follow each other, as one.
fn joined(stretches: &[Stretch]) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for (since, until) in stretches {
        match joined.last_mut() {
            Some(last) if last.0 <= *until => last.0 = *since,
            _ => joined.push((*since, *until)),
        }
    }
    joined
}

/// Where a row stands in the order.
pub(super) fn at(row: &sqlx::postgres::PgRow) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { ts: row.try_get("ts")?, id: row.try_get("trace_id")? })
}

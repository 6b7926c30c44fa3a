//! Rows of one tenant in, what another tenant and nobody can do with them out.
//!
//! One transaction that is rolled back: tenant X writes a row into each table that a tenant may write to; then Y and nobody
//! look for them, change them, remove them, and write for X. The tables that a tenant only reads hold nothing for a tenant that
//! was made up a moment ago, and nothing for nobody.

use std::time::Duration;

use sqlx::{Acquire, PgConnection, Row};
use uuid::Uuid;

use super::Finding;
use crate::postgres::database::{Database, Role};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// No statement of the probe takes longer, whatever a table holds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A table that a tenant may write to. In each statement `$1` is the tenant whose row it is, and the id where one is the key.
struct Written {
    table: &'static str,
    /// One of the trace tables, which an application's own login has as well.
    traces: bool,
    write: &'static str,
    /// How many rows of that tenant were seen, changed and removed.
    touch: &'static str,
}

/// A table that a tenant only reads.
struct OnlyRead {
    table: &'static str,
    traces: bool,
    any: &'static str,
}

macro_rules! written {
    ($table:literal, $traces:literal, $key:literal, $write:literal) => {
        Written {
            table: $table,
            traces: $traces,
            write: concat!("INSERT INTO rag_tower.", $table, " ", $write),
            touch: concat!(
                "WITH changed AS (UPDATE rag_tower.",
                $table,
                " SET tenant_id = tenant_id WHERE ",
                $key,
                " = $1 RETURNING 1)
                 SELECT (SELECT count(*) FROM rag_tower.",
                $table,
                " WHERE ",
                $key,
                " = $1), (SELECT count(*) FROM changed),
                        0::bigint"
            ),
        }
    };
    ($table:literal, $traces:literal, $key:literal, $write:literal, removable) => {
        Written {
            table: $table,
            traces: $traces,
            write: concat!("INSERT INTO rag_tower.", $table, " ", $write),
            touch: concat!(
                "WITH changed AS (UPDATE rag_tower.",
                $table,
                " SET tenant_id = tenant_id WHERE ",
                $key,
                " = $1 RETURNING 1),
                      removed AS (DELETE FROM rag_tower.",
                $table,
                " WHERE ",
                $key,
                " = $1 RETURNING 1)
                 SELECT (SELECT count(*) FROM rag_tower.",
                $table,
                " WHERE ",
                $key,
                " = $1), (SELECT count(*) FROM changed),
                        (SELECT count(*) FROM removed)"
            ),
        }
    };
}

macro_rules! only_read {
    ($table:literal, $traces:literal) => {
        OnlyRead {
            table: $table,
            traces: $traces,
            any: concat!("SELECT EXISTS (SELECT FROM rag_tower.", $table, ")"),
        }
    };
}

/// In the order in which a row of one may name a row of another.
const WRITTEN: &[Written] = &[
    written!("chat_sessions", false, "id", "(id, tenant_id) VALUES ($1, $1)", removable),
    written!(
        "documents",
        false,
        "tenant_id",
        "(id, tenant_id, file_name, title, version) VALUES ($1, $1, '', '', 0)",
        removable
    ),
    written!(
        "chunks",
        false,
        "tenant_id",
        "(tenant_id, id, document_id, seq, text, terms, counts, token_count)
         VALUES ($1, gen_random_uuid(), $1, 0, '', '{}', '{}', 0)",
        removable
    ),
    written!(
        "document_frequencies",
        false,
        "tenant_id",
        "(tenant_id, term, chunks) VALUES ($1, 0, 0)",
        removable
    ),
    written!("corpora", false, "tenant_id", "(tenant_id) VALUES ($1)"),
    written!("tenant_settings", false, "tenant_id", "(tenant_id) VALUES ($1)"),
    written!(
        "user_feedback",
        true,
        "tenant_id",
        "(id, tenant_id, trace_id, subject, rating) VALUES (gen_random_uuid(), $1, $1, '', 1)"
    ),
    written!(
        "handoff_tickets",
        true,
        "tenant_id",
        "(id, tenant_id, reason) VALUES (gen_random_uuid(), $1, 'probe')"
    ),
];

const ONLY_READ: &[OnlyRead] = &[
    only_read!("tenants", false),
    only_read!("branches", false),
    only_read!("request_traces", true),
    only_read!("trace_totals", true),
    only_read!("trace_rollups", true),
];

pub(super) fn tables() -> (Vec<&'static str>, Vec<&'static str>) {
    (WRITTEN.iter().map(|table| table.table).collect(), ONLY_READ.iter().map(|table| table.table).collect())
}

pub(super) async fn probe(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let (x, y) = (Uuid::now_v7(), Uuid::now_v7());
    let mut tx = database.begin(Role::Tenant, Some(x)).await?;
    sqlx::raw_sql(sql::statement_timeout(PATIENCE)).execute(&mut *tx).await?;
    // an application's own login has the trace tables, and may not be let see what it owns itself
    let own = database.is_own();
    let written: Vec<_> = WRITTEN.iter().filter(|table| table.traces || !own).collect();
    let mut findings = Vec::new();
    for table in &written {
        if let Err(error) =
            sqlx::query(table.write).bind(x).execute(&mut *tx).await.map_err(DatabaseError::from)
        {
            if !error.is_row_security() {
                return Err(error.if_unwritable());
            }
            findings.push(finding(table.table, "a tenant cannot write a row of its own"));
            return Ok(findings);
        }
    }
    for (who, tenant) in [("another tenant", y.to_string()), ("nobody", String::new())] {
        become_tenant(&mut tx, tenant).await?;
        for table in &written {
            let [seen, changed, removed] = touch(&mut tx, table, x).await?;
            if [seen, changed, removed] != [0; 3] {
                let did =
                    format!("a row was seen {seen}, changed {changed} and removed {removed} times by {who}");
                findings.push(finding(table.table, &did));
            }
            if !is_refused(&mut tx, table, x).await? {
                findings.push(finding(table.table, &format!("{who} can write a row of a tenant")));
            }
        }
        for table in ONLY_READ.iter().filter(|table| table.traces || !own) {
            if sqlx::query_scalar::<_, bool>(table.any).fetch_one(&mut *tx).await? {
                findings.push(finding(table.table, &format!("rows are seen by {who}")));
            }
        }
    }
    become_tenant(&mut tx, x.to_string()).await?;
    for table in &written {
        let mut inner = tx.begin().await?;
        let [seen, changed, removed] = touch(&mut inner, table, x).await?;
        inner.rollback().await?;
        // one statement does not both change and remove a row
        if seen != 1 || changed + removed == 0 {
            let did = format!(
                "a row was seen {seen}, changed {changed} and removed {removed} times by its own tenant"
            );
            findings.push(finding(table.table, &did));
        }
    }
    tx.rollback().await?;
    Ok(findings)
}

/// Rows of `tenant` that whoever this is sees, changes and removes.
async fn touch(
    connection: &mut PgConnection,
    table: &Written,
    tenant: Uuid,
) -> Result<[i64; 3], DatabaseError> {
    let row = sqlx::query(table.touch).bind(tenant).fetch_one(connection).await?;
    Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])
}

/// True when whoever this is may not write a row of `tenant`. Any other refusal came after the one that should have been.
async fn is_refused(
    connection: &mut PgConnection,
    table: &Written,
    tenant: Uuid,
) -> Result<bool, DatabaseError> {
    let mut inner = connection.begin().await?;
    let written = sqlx::query(table.write).bind(tenant).execute(&mut *inner).await;
    let refused = match written.map_err(DatabaseError::from) {
        Ok(_) => false,
        Err(error @ DatabaseError::Query(_)) => error.is_row_security(),
        Err(error) => return Err(error.if_unwritable()),
    };
    inner.rollback().await?;
    Ok(refused)
}

fn finding(table: &str, what: &str) -> Finding {
    Finding {
        what: format!("{table}: {what}"),
        mend: format!("-- compare the policies and grants of rag_tower.{table} with those of the migrations"),
    }
}

async fn become_tenant(connection: &mut PgConnection, tenant: String) -> Result<(), DatabaseError> {
    sqlx::query("SELECT set_config('rag.tenant_id', $1, true)").bind(tenant).execute(connection).await?;
    Ok(())
}

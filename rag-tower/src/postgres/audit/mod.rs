//! The proof at start that tenants are kept apart: a connected login in, nothing or a list of findings out.
//!
//! First the catalog is read: who the login is and what it may become, what the tables' policies say word for word, who was
//! granted what, and what reads our tables from elsewhere in the database. Then rows are written as one tenant and looked for
//! as another and as nobody, in a transaction that is rolled back.
//!
//! What cannot be seen this way: a function that builds the name of a table of ours out of pieces, what a role of a DBA reads
//! that the server's login can never become, and what a superuser does.

mod catalog;
mod policies;
mod probe;

use std::fmt;

use super::database::Database;
use super::error::DatabaseError;

/// Why isolation would not hold, and the SQL that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// Statements that mend it, for the owner of the tables or a superuser. What takes a hand begins with `--`.
    pub mend: String,
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to mend it: {}", self.what, self.mend)
    }
}

/// Audits the catalog and probes the policies.
pub(super) async fn check(database: &Database) -> Result<(), DatabaseError> {
    let mut findings = catalog(database).await?;
    if findings.is_empty() {
        findings = probe(database).await?;
    }
    if findings.is_empty() { Ok(()) } else { Err(DatabaseError::Refused(findings)) }
}

/// The finding for a login that policies do not bind.
pub(super) fn bypassing_login() -> Finding {
    Finding {
        what: "the login is a superuser or bypasses row-level security, so tenants would not be kept apart"
            .into(),
        mend: "-- ALTER ROLE it NOSUPERUSER NOBYPASSRLS, or use another login".into(),
    }
}

/// What the catalog says. For an application's own login, which owns the tables, that is what concerns the tables alone.
pub(super) async fn catalog(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let own = database.is_own();
    let mut tx = database.begin_plain().await?;
    // what is not in pg_catalog is then printed with its schema, whatever it is called
    sqlx::raw_sql("SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL jit = off")
        .execute(&mut *tx)
        .await?;
    let superuser = if own { Vec::new() } else { catalog::superuser(&mut tx).await? };
    if !superuser.is_empty() {
        return Ok(superuser);
    }
    let newest = if own { "request_traces" } else { "chat_sessions" };
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'rag_tower' AND c.relname = $1)",
    )
    .bind(newest)
    .fetch_one(&mut *tx)
    .await?;
    if !exists {
        return Ok(vec![Finding {
            what: "the schema rag_tower is missing or too old".into(),
            mend: "-- run `rag-tower-owner migrate` with DATABASE_ADMIN_URL".into(),
        }]);
    }
    let mut findings = catalog::look(&mut tx, own).await?;
    findings.extend(policies::look(&mut tx, own).await?);
    Ok(findings)
}

/// Writes as X and looks as Y and as nobody; then as X, to know that there was something to see. All of it is rolled back.
pub(super) async fn probe(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    probe::probe(database).await
}

/// The tables that the probe writes to, and those that it only reads, for a test that compares them with the catalog.
pub(super) fn probed() -> (Vec<&'static str>, Vec<&'static str>) {
    probe::tables()
}

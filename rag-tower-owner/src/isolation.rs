//! Whether tenants are kept apart, as found at the start and whenever it is asked for again: a database in, what would mend
//! what is wrong out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use rag_tower::postgres::{Database, DatabaseError, Finding};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::timeout;

/// The catalog of a large database is read in this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found last, by this process.
#[derive(Debug)]
pub(crate) struct Isolation {
    database: Database,
    found: Mutex<Found>,
    /// Held while it is looked at: one look at a time is enough.
    looking: tokio::sync::Mutex<()>,
}

/// What was found.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Found {
    /// What the catalog says.
    pub(crate) audit: Looked,
    /// What another tenant and nobody saw of a row that was written for the purpose.
    pub(crate) probe: Looked,
}

/// One look.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Looked {
    /// True when nothing is wrong.
    pub(crate) ok: bool,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    at: OffsetDateTime,
    findings: Vec<Wrong>,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
struct Wrong {
    what: String,
    mend: String,
}

// === impl Isolation ===

impl Isolation {
    /// Nothing was wrong when this database was connected to, or it would not have been.
    pub(crate) fn proven(database: &Database) -> Self {
        let found = Found { audit: Looked::at(Vec::new()), probe: Looked::at(Vec::new()) };
        Self { database: database.clone(), found: Mutex::new(found), looking: tokio::sync::Mutex::default() }
    }

    /// What was found last.
    pub(crate) fn found(&self) -> Found {
        self.lock().clone()
    }

    /// Looks again; none while somebody else does.
    pub(crate) async fn look(&self) -> Result<Option<Found>, DatabaseError> {
        let Ok(_looking) = self.looking.try_lock() else { return Ok(None) };
        let look =
            async { Ok::<_, DatabaseError>((self.database.audit().await?, self.database.probe().await?)) };
        let (audit, probe) =
            timeout(PATIENCE, look).await.map_err(|late| DatabaseError::TooLong(Arc::new(late)))??;
        for finding in audit.iter().chain(&probe) {
            tracing::error!(%finding, "tenants are not kept apart");
        }
        gauge!("rag_isolation_findings").set((audit.len() + probe.len()) as f64);
        let found = Found { audit: Looked::at(audit), probe: Looked::at(probe) };
        *self.lock() = found.clone();
        Ok(Some(found))
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Looked ===

impl Looked {
    fn at(findings: Vec<Finding>) -> Self {
        let findings: Vec<_> =
            findings.into_iter().map(|Finding { what, mend }| Wrong { what, mend }).collect();
        Self { ok: findings.is_empty(), at: OffsetDateTime::now_utc(), findings }
    }
}

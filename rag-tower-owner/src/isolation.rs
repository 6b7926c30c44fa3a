//! Whether tenants are kept apart, as found at the start, each hour, and whenever it is asked for again: a database and two
//! canary tenants in, what would mend what is wrong out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use rag_tower::postgres::{Database, DatabaseError, Finding};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use crate::canary::{Canary, CanaryState};

/// The catalog of a large database is read in this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the catalog is audited and the policies are probed.
const EVERY: Duration = Duration::from_hours(1);
/// How soon that is tried again when it could not be done.
const AGAIN: Duration = Duration::from_mins(1);
/// What is looked at, as a metric label.
pub(crate) const CHECKS: [&str; 3] = ["catalog", "probe", "canary"];

/// What was found last, by this process.
#[derive(Debug)]
pub(crate) struct Isolation {
    database: Database,
    canary: Canary,
    found: Mutex<(Looked, Looked)>,
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
    /// What tenants that nobody is got of each other's.
    pub(crate) canary: CanaryState,
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

/// Looks each hour, and lets the canaries ask, until it is dropped.
pub(crate) async fn keep_proven(isolation: Arc<Isolation>) {
    tokio::join!(isolation.keep_looking(), isolation.canary.keep_asking());
}

/// Says what one of [`CHECKS`] found, and that it was now.
pub(crate) fn report(check: &'static str, ok: bool) {
    gauge!("rag_isolation_audit_ok", "check" => check).set(if ok { 1.0 } else { 0.0 });
    since(check, OffsetDateTime::now_utc());
}

/// Says since when nothing newer is known.
fn since(check: &'static str, at: OffsetDateTime) {
    gauge!("rag_isolation_audit_timestamp_seconds", "check" => check).set(at.unix_timestamp() as f64);
}

// === impl Isolation ===

impl Isolation {
    /// Nothing was wrong when this database was connected to, or it would not have been.
    pub(crate) fn proven(database: &Database, canary: Canary) -> Self {
        let looked = (Looked::at(Vec::new()), Looked::at(Vec::new()));
        report("catalog", true);
        report("probe", true);
        // until the first round nothing is shown; without rounds there is nothing to be told of
        if canary.is_on() {
            since("canary", OffsetDateTime::now_utc());
        }
        let looking = tokio::sync::Mutex::default();
        Self { database: database.clone(), canary, found: Mutex::new(looked), looking }
    }

    /// What was found last.
    pub(crate) fn found(&self) -> Found {
        let (audit, probe) = self.lock().clone();
        Found { audit, probe, canary: self.canary.state() }
    }

    /// Looks again, and lets the canaries ask; none while somebody else does.
    pub(crate) async fn look(&self) -> Result<Option<Found>, DatabaseError> {
        let Ok(_looking) = self.looking.try_lock() else { return Ok(None) };
        self.audit().await?;
        self.canary.round().await;
        Ok(Some(self.found()))
    }

    /// Removes what is there for the purpose alone.
    pub(crate) async fn leave(&self) {
        self.canary.leave().await;
    }

    async fn keep_looking(&self) {
        let mut failing = false;
        let mut wait = EVERY;
        loop {
            sleep(wait).await;
            let looked = {
                let _looking = self.looking.lock().await;
                self.audit().await
            };
            wait = match looked {
                Ok(()) => {
                    failing = false;
                    EVERY
                }
                Err(error) => {
                    // said once: the metrics say since when nothing is known
                    if !failing {
                        tracing::warn!(%error, "it cannot be looked at whether tenants are kept apart");
                    }
                    failing = true;
                    AGAIN
                }
            };
        }
    }

    /// Audits the catalog and probes the policies.
    async fn audit(&self) -> Result<(), DatabaseError> {
        let look =
            async { Ok::<_, DatabaseError>((self.database.audit().await?, self.database.probe().await?)) };
        let (audit, probe) =
            timeout(PATIENCE, look).await.map_err(|late| DatabaseError::TooLong(Arc::new(late)))??;
        for finding in audit.iter().chain(&probe) {
            tracing::error!(%finding, "tenants are not kept apart");
        }
        report("catalog", audit.is_empty());
        report("probe", probe.is_empty());
        *self.lock() = (Looked::at(audit), Looked::at(probe));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Looked, Looked)> {
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

//! What this process is and how it is doing: the parts of the server in, one picture for the owner out.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rag_tower::port::VectorStore;
use rag_tower::postgres::{Database, PgPartitions, PgRollups};
use rag_tower::redis::Redis;
use rag_tower::tenant::TenantId;
use rag_tower::trace::{FileJournal, TraceSink};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use crate::auth::OwnerScope;
use crate::config::{Config, Setting};
use crate::index::Index;
use crate::models;
use crate::owner_store::{MigrationState, OwnerStore};
use crate::platform::{JOURNAL, scope_of};

/// What does not answer for so long is down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is to look at.
pub(crate) struct System {
    started: (OffsetDateTime, Instant),
    zone: String,
    database: Database,
    traces: TraceSink,
    journal: FileJournal,
    rollups: PgRollups,
    partitions: PgPartitions,
    index: Arc<Index>,
    redis: Option<Redis>,
    retention_days: Option<u32>,
    models: Vec<String>,
    settings: Vec<Setting>,
}

/// The picture. What could not be found out is null.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Picture {
    version: &'static str,
    build: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    started_at: OffsetDateTime,
    uptime_s: u64,
    host_tz: Option<String>,
    zone: String,
    trace: TraceState,
    partitions: PartitionState,
    migrations: Vec<MigrationState>,
    dependencies: Vec<Dependency>,
    settings: Vec<Setting>,
}

/// How trace rows come into the database.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct TraceState {
    queued: u64,
    journal_bytes: u64,
    journal_limit: u64,
    written: u64,
    refused: u64,
    dropped: u64,
    lag_s: Option<f64>,
}

/// The days that rows are kept in.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
struct PartitionState {
    count: Option<usize>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    since: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    until: Option<OffsetDateTime>,
    retention_days: Option<u32>,
    bytes: Option<i64>,
}

/// Something that the server stands on. Whether a model answers is found out when it is asked, which costs: null.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Dependency {
    name: &'static str,
    ok: Option<bool>,
    detail: String,
    latency_ms: Option<f64>,
}

// === impl System ===

impl System {
    /// What there is to look at, from now on.
    pub(crate) fn new(
        config: &Config,
        database: &Database,
        (traces, journal): (TraceSink, FileJournal),
        (rollups, partitions): (PgRollups, PgPartitions),
        index: Arc<Index>,
        redis: Option<Redis>,
    ) -> Self {
        Self {
            started: (OffsetDateTime::now_utc(), Instant::now()),
            zone: config.zone.name().to_owned(),
            database: database.clone(),
            traces,
            journal,
            rollups,
            partitions,
            index,
            redis,
            retention_days: config.trace_retention.map(std::num::NonZeroU32::get),
            models: models::model_names(config),
            settings: config.settings(),
        }
    }

    /// Looks at everything at once.
    pub(crate) async fn picture(&self, owner: &OwnerScope, store: &OwnerStore) -> Picture {
        let (lag, days, bytes, migrations, stores) = tokio::join!(
            within(self.rollups.lag()),
            within(self.partitions.partitions()),
            within(store.trace_bytes(owner)),
            within(store.migrations(owner)),
            self.stores(),
        );
        let stats = self.traces.stats();
        let gone = stats.written + stats.lost + stats.refused;
        let days = days.as_ref();
        Picture {
            version: env!("CARGO_PKG_VERSION"),
            build: format!(
                "{}, {} {}",
                if cfg!(debug_assertions) { "debug" } else { "release" },
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
            started_at: self.started.0,
            uptime_s: self.started.1.elapsed().as_secs(),
            host_tz: host_zone(),
            zone: self.zone.clone(),
            trace: TraceState {
                queued: stats.sent.saturating_sub(gone),
                journal_bytes: self.journal.bytes(),
                journal_limit: JOURNAL,
                written: stats.written,
                refused: stats.refused,
                dropped: stats.lost + stats.unrecorded,
                lag_s: lag.map(|lag| lag.oldest.as_secs_f64()),
            },
            partitions: PartitionState {
                count: days.map(|days| days.count),
                since: days.and_then(|days| days.since),
                until: days.and_then(|days| days.until),
                retention_days: self.retention_days,
                bytes,
            },
            migrations: migrations.unwrap_or_default(),
            dependencies: stores.into_iter().chain(self.models()).collect(),
            settings: self.settings.clone(),
        }
    }

    /// Whether what it stands on answers, by name.
    pub(crate) async fn reach(&self) -> Vec<(&'static str, bool)> {
        self.stores().await.into_iter().map(|found| (found.name, found.ok == Some(true))).collect()
    }

    async fn stores(&self) -> Vec<Dependency> {
        let (postgres, vectors, redis) = tokio::join!(self.postgres(), self.vectors(), self.redis());
        [postgres, vectors].into_iter().chain(redis).collect()
    }

    async fn postgres(&self) -> Dependency {
        let began = Instant::now();
        let up = timeout(PATIENCE, self.database.is_up()).await.unwrap_or(false);
        let (open, idle) = self.database.connections();
        Dependency::found("postgres", up, began, format!("{open} connections, {idle} of them idle"))
    }

    async fn vectors(&self) -> Dependency {
        let began = Instant::now();
        // a tenant that nobody is: what matters is that there is an answer
        let counted = timeout(PATIENCE, self.index.count(&scope_of(TenantId::new(uuid::Uuid::nil())))).await;
        let up = matches!(counted, Ok(Ok(_)));
        let detail = match *self.index {
            Index::Edge(_) => "the engine in this process",
            Index::Qdrant(_) => "a Qdrant server",
        };
        Dependency::found("vectors", up, began, detail.to_owned())
    }

    /// Where limits and tickets are shared, if they are.
    async fn redis(&self) -> Option<Dependency> {
        let redis = self.redis.as_ref()?;
        let began = Instant::now();
        let up = timeout(PATIENCE, redis.is_up()).await.unwrap_or(false);
        Some(Dependency::found("redis", up, began, "rate limits and tickets".to_owned()))
    }

    fn models(&self) -> impl Iterator<Item = Dependency> {
        let named =
            |model: &String| Dependency { name: "model", ok: None, detail: model.clone(), latency_ms: None };
        self.models.iter().map(named)
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("started", &self.started.0).finish_non_exhaustive()
    }
}

// === impl Dependency ===

impl Dependency {
    fn found(name: &'static str, up: bool, began: Instant, detail: String) -> Self {
        let latency_ms = Some(began.elapsed().as_secs_f64() * 1_000.0).filter(|_| up);
        Self { name, ok: Some(up), detail, latency_ms }
    }
}

/// What was found out in time; the rest is seen from the dependencies.
async fn within<T, E: fmt::Display>(finding: impl Future<Output = Result<T, E>>) -> Option<T> {
    match timeout(PATIENCE, finding).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a part of the system's state could not be read");
            None
        }
        Err(_) => None,
    }
}

/// The time zone of this machine, as far as it says: `TZ`, else where `/etc/localtime` leads.
fn host_zone() -> Option<String> {
    let named = std::env::var("TZ").ok().filter(|zone| !zone.is_empty());
    named.or_else(|| {
        let path = std::fs::read_link("/etc/localtime").ok()?;
        path.to_str()?.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
    })
}

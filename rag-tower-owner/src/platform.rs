//! What every command stands on: the database, the vector index, the models, and the stack over them.

use std::sync::Arc;
use std::time::Duration;

use rag_tower::cache::{AnswerCache, CacheOptions};
use rag_tower::ingest::{Chunker, Ingestor};
use rag_tower::memory::{MemoryWriter, spawn_memory_writer};
use rag_tower::metrics::Labels;
use rag_tower::otel::{OtlpConfig, SpanExporter, SpanTap, spawn_span_exporter};
use rag_tower::port::{Chunk, Document, VectorStore};
use rag_tower::postgres::{
    APP_LOGIN, Behind, Database, DatabaseError, DatabaseOptions, PgDocuments, PgMemoryStore, PgPartitions,
    PgPrices, PgRollups, PgSettings, PgTraceStore, Priced, Prices, bootstrap,
};
use rag_tower::tenant::{BranchId, Branches, Grant, TenantAuthority, TenantId};
use rag_tower::trace::{FileJournal, TraceSink, TraceWriter, WriterConfig, spawn_writer};
use rag_tower::{BoxAskService, Error, ErrorKind, TenantScope};
use tokio::time::timeout;
use uuid::Uuid;

use crate::canary::{self, Prober};
use crate::cluster::{Cluster, ClusterOptions};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::demo::{self, Demo};
use crate::failure::Failure;
use crate::index::Index;
use crate::intake::{Epochs, Intake};
use crate::models;
use crate::progress::Step;
use crate::registry;
use crate::replay::{self, Replay};
use crate::rollups;
use crate::secrets::Secrets;
use crate::shared::Shared;
use crate::stack::{self, Parts};
use crate::tenant_data::{InMemoryBook, Settings, TenantData};
use crate::tooling;

/// The database of the private cluster.
pub(crate) const DATABASE: &str = "postgres";
/// Connections of what is written in the background.
const BACKGROUND: u32 = 4;
/// Connections of the owner's lists and searches, which must not take those of asks. They are few, so that each soon knows
/// every partition: a connection that meets hundreds of them for the first time takes a tenth of a second for that.
const OWNER: u32 = 4;
/// The most that waits on disk for Postgres, in bytes: about half a million rows.
pub(crate) const JOURNAL: u64 = 2 * 1024 * 1024 * 1024;
/// Documents that are looked up at once while an index is mended.
const MEND_BATCH: u32 = 64;
/// Chunks from which documents are put back rather than more of them read.
const MEND_CHUNKS: usize = 256;
/// The bytes of answers that are kept, some two thousand for their ten minutes: what many ask is among them, and more would be
/// most of what a busy server takes.
const ANSWERS: usize = 8 * 1024 * 1024;

/// Everything that is up.
pub(crate) struct Platform {
    cluster: Option<Cluster>,
    writer: TraceWriter,
    /// Sends spans, when there is a collector.
    spans: Option<SpanExporter>,
    /// How trace rows come in, to look at.
    pub(crate) traces: (TraceSink, FileJournal),
    conversations: MemoryWriter,
    pub(crate) database: Database,
    /// What is written in the background goes through connections of its own.
    pub(crate) aside: Database,
    /// What the owner reads does, too.
    pub(crate) owners: Database,
    pub(crate) rollups: PgRollups,
    pub(crate) partitions: PgPartitions,
    pub(crate) price_store: PgPrices,
    /// What new asks are priced by.
    pub(crate) prices: Prices,
    pub(crate) documents: Arc<PgDocuments>,
    pub(crate) index: Arc<Index>,
    pub(crate) intake: Intake,
    pub(crate) book: InMemoryBook,
    pub(crate) asks: BoxAskService,
    /// What it shares with other servers.
    pub(crate) shared: Shared,
    /// Searches again, for the owner.
    pub(crate) replay: Replay,
    /// Asks whether tenants are kept apart.
    pub(crate) canary: Prober,
    /// Tells apart what documents were cut and embedded with.
    pub(crate) recipe: String,
    pub(crate) data: DataDir,
}

// === impl Platform ===

impl Platform {
    /// Brings everything up, with progress on long steps. The caller holds the data directory's lock.
    pub(crate) async fn start(config: &Config, data: &DataDir) -> Result<Self, Failure> {
        Self::start_with(config, data, Shared::default()).await
    }

    /// As [`start`](Self::start), for a server, which shares something with others.
    pub(crate) async fn start_with(config: &Config, data: &DataDir, shared: Shared) -> Result<Self, Failure> {
        Self::bring_up(config, data, shared, false).await
    }

    /// As [`start`](Self::start), with an empty vector index: [`fill`](Self::fill) then embeds every document again.
    pub(crate) async fn start_anew(config: &Config, data: &DataDir) -> Result<Self, Failure> {
        Self::bring_up(config, data, Shared::default(), true).await
    }

    async fn bring_up(config: &Config, data: &DataDir, shared: Shared, anew: bool) -> Result<Self, Failure> {
        let (cluster, database) = open_database(config, data).await?;
        let documents = Arc::new(PgDocuments::new(&database));
        let embedder = models::embedder(config, &scope_of(TenantId::named("rag-tower")))
            .await
            .map_err(failed("the embedding model"))?;
        let index = Index::open(config, data, &embedder, anew).await.map_err(|error| {
            let away = error.kind() == ErrorKind::StoreUnavailable;
            let failure = failed("the vector index")(error);
            match config.qdrant_url {
                Some(_) if away => failure.mend(
                    "Start the Qdrant server of QDRANT_URL, whose gRPC port is 6334, or unset QDRANT_URL to use the \
                     engine in this process.",
                ),
                _ => failure,
            }
        });
        let index = Arc::new(index?);
        let chunker = Chunker::new().with_size(config.chunk_token_size).with_overlap(config.chunk_overlap);
        let ingestor = Ingestor::new(embedder.service.clone(), Arc::clone(&documents), Arc::clone(&index))
            .with_chunker(chunker);

        let aside = database.aside(BACKGROUND);
        let (price_store, prices) = (PgPrices::new(&aside), Prices::default());
        // before anything is written, what an earlier run left in the journal included
        prices.set(price_store.book().await.map_err(refused)?);
        let journal = open_journal(config, data).await?;
        let (traces, writer) = spawn_writer(
            Priced::new(PgTraceStore::new(&aside), prices.clone()),
            WriterConfig::default().journal(journal.clone()),
        );
        let (traces, spans) = match span_exporter(config)? {
            Some((tap, exporter)) => (traces.with_tap(tap), Some(exporter)),
            None => (traces, None),
        };
        let looked_at = (traces.clone(), journal);
        let (memory, conversations) =
            spawn_memory_writer(PgMemoryStore::new(&database).with_writes_through(&aside));
        let book = InMemoryBook::new();
        let labels = Labels::new()
            .with_routes([
                "search",
                "course_search",
                "docs_search",
                "tuition_calculator",
                "comparison",
                "create_ticket",
                "out_of_domain",
            ])
            .with_models(models::model_names(config))
            .with_tenants(config.metrics_tenants);
        labels.touch();
        let recipe = format!("{}/{}/{}", embedder.name, config.chunk_token_size, config.chunk_overlap);
        let epochs = Epochs::new(format!("{}/{recipe}", models::model_names(config).join("+")));
        let replay = Replay::new(
            Arc::clone(&index),
            Arc::clone(&documents),
            embedder.questions.clone(),
            replay::Settings { top_k: config.top_k, vector: embedder.weight(), rerank: true },
            config.max_context_tokens as u64,
        );
        let mut kept = CacheOptions::default();
        kept.max_bytes = ANSWERS;
        let cache = AnswerCache::new(kept);
        let parts = Parts {
            traces,
            labels,
            prices: prices.clone(),
            memory: Arc::new(memory),
            cache: cache.clone(),
            documents: Arc::clone(&documents),
            index: Arc::clone(&index),
            dense_weight: embedder.weight(),
            embedder: embedder.questions.clone(),
            generator: models::generator(config).map_err(failed("the model"))?,
            rewriter: models::rewriter(config).map_err(failed("the model"))?,
            router: models::router(config).map_err(failed("the model of ROUTER_MODEL"))?,
            reranker: models::reranker(config).map_err(failed("the reranker"))?,
            book: book.clone(),
            tools: tooling::tools(&book, &database),
            epochs: epochs.clone(),
            shared: shared.clone(),
            rate_limit: config.rate_limit_per_minute,
        };
        let intake = Intake::new(ingestor, epochs);
        let canary = Prober::new(canary::Parts {
            asks: stack::stack(config, parts.plain()),
            cache,
            database: aside.clone(),
            documents: Arc::clone(&documents),
            index: Arc::clone(&index),
            embedder: embedder.questions,
            intake: intake.clone(),
        });
        let asks = stack::stack(config, parts);
        Ok(Self {
            cluster,
            writer,
            spans,
            traces: looked_at,
            conversations,
            rollups: PgRollups::new(&aside),
            partitions: PgPartitions::new(&aside),
            price_store,
            prices,
            owners: database.aside(OWNER),
            database,
            aside,
            documents,
            index,
            intake,
            book,
            asks,
            shared,
            replay,
            canary,
            recipe,
            data: data.clone(),
        })
    }

    /// The demo tenants in demo mode, and a vector index that is up to date.
    pub(crate) async fn fill(&self, config: &Config, secrets: &Secrets) -> Result<Option<Demo>, Failure> {
        if self.index.is_new() {
            // before anything is written to it: afterwards it would be forgotten too
            for tenant in self.documents.tenants().await.map_err(refused)? {
                self.documents.forget_index(&scope_of(tenant)).await.map_err(refused)?;
            }
        }
        self.read_settings().await?;
        let demo = if config.demo() {
            // their settings are the demo's own
            Some(demo::load(self, secrets).await?)
        } else {
            registry::revoke_demo_keys(&self.database).await?;
            None
        };
        self.heal().await?;
        Ok(demo)
    }

    /// What tenants have saved about themselves. One that cannot be read does not keep the others from their answers.
    async fn read_settings(&self) -> Result<(), Failure> {
        let saved = PgSettings::new(&self.database);
        for tenant in registry::configured(&self.database).await? {
            let scope = scope_of(tenant);
            let Some(found) = saved.load(&scope).await.map_err(refused)? else { continue };
            let settings = Settings { courses: found.courses, routes: found.routes };
            match TenantData::from_settings(&settings) {
                Ok(data) => {
                    let learnt = self.book.learn(&scope, data).await;
                    learnt.map_err(|error| Failure::because("the routes of a tenant", &error))?;
                }
                Err(error) => {
                    tracing::error!(%tenant, %error, "saved settings are left out: every question is searched for");
                }
            }
        }
        Ok(())
    }

    /// Makes the vector index say what Postgres says: after a crash, a lost index, or another embedder.
    async fn heal(&self) -> Result<(), Failure> {
        for tenant in self.documents.tenants().await.map_err(refused)? {
            let scope = scope_of(tenant);
            let kept = self.documents.count_chunks(&scope).await.map_err(refused)?;
            let indexed = self.index.count(&scope).await.map_err(failed("the vector index"))?;
            if kept != indexed {
                self.documents.forget_index(&scope).await.map_err(refused)?;
            }
        }
        let behind = self.documents.tenants_behind().await.map_err(refused)?;
        if behind.is_empty() {
            return Ok(());
        }
        let mut chunks = 0;
        for tenant in &behind {
            chunks += self.documents.count_chunks(&scope_of(*tenant)).await.map_err(refused)?;
        }
        let step = Step::bar("Bringing the vector index up to date", chunks);
        for tenant in behind {
            self.heal_tenant(&scope_of(tenant), &step).await?;
        }
        step.done();
        Ok(())
    }

    async fn heal_tenant(&self, scope: &TenantScope, step: &Step) -> Result<(), Failure> {
        loop {
            let behind = self.documents.behind(scope, MEND_BATCH).await.map_err(refused)?;
            if behind.is_empty() {
                return Ok(());
            }
            let mut kept = Vec::new();
            let mut chunks = 0;
            for document in behind {
                match document {
                    Behind::Put(document) => {
                        let of = self.documents.chunks_of(scope, document.id).await.map_err(refused)?;
                        chunks += of.len();
                        kept.push((document, of));
                        if chunks >= MEND_CHUNKS {
                            self.put_back(scope, std::mem::take(&mut kept), step).await?;
                            chunks = 0;
                        }
                    }
                    Behind::Delete(document) => {
                        let done = self.intake.ingestor().remove(scope, document).await;
                        done.map_err(failed("the vector index"))?;
                    }
                }
            }
            self.put_back(scope, kept, step).await?;
        }
    }

    /// Documents into the index again.
    async fn put_back(
        &self,
        scope: &TenantScope,
        documents: Vec<(Document, Vec<Chunk>)>,
        step: &Step,
    ) -> Result<(), Failure> {
        let chunks: usize = documents.iter().map(|(_, chunks)| chunks.len()).sum();
        let done = self.intake.ingestor().reindex(scope, documents).await;
        step.advance_by(chunks as u64);
        done.map_err(failed("the vector index"))
    }

    /// `reindex`: how many chunks of how many tenants the index now holds.
    pub(crate) async fn indexed(&self) -> Result<(u64, usize), Failure> {
        let mut tenants = self.documents.tenants().await.map_err(refused)?;
        tenants.retain(|tenant| !canary::is_canary(*tenant));
        let mut chunks = 0;
        for tenant in &tenants {
            chunks += self.index.count(&scope_of(*tenant)).await.map_err(failed("the vector index"))?;
        }
        Ok((chunks, tenants.len()))
    }

    /// Everything down, in order; what goes wrong on the way is logged and does not stop the rest.
    pub(crate) async fn stop(self, grace: Duration) {
        let spans = async {
            match self.spans {
                Some(exporter) => exporter.shutdown(grace).await.dropped,
                None => 0,
            }
        };
        let (stats, forgotten, spans) =
            tokio::join!(self.writer.shutdown(grace), self.conversations.shutdown(grace), spans);
        if spans > 0 {
            tracing::warn!(spans, "spans were dropped: the collector was away or too slow");
        }
        if forgotten > 0 {
            tracing::error!(turns = forgotten, "turns of conversations were not remembered");
        }
        if stats.lost > 0 {
            tracing::error!(lost = stats.lost, "trace rows were lost");
        }
        rollups::fold_rest(&self.rollups, grace).await;
        if let Err(error) = self.index.close().await {
            tracing::error!(%error, "the vector index could not be flushed; the next start mends it");
        }
        // what was being made for partitions is given up: Postgres may still be at it
        for database in [&self.owners, &self.aside, &self.database] {
            if timeout(grace, database.close()).await.is_err() {
                tracing::warn!("a statement goes on in Postgres, which undoes it");
            }
        }
        if let Some(cluster) = self.cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::error!(%error, "Postgres did not stop; the next start ends it");
        }
    }
}

/// Spans of asks for a collector, when the environment names one.
fn span_exporter(config: &Config) -> Result<Option<(SpanTap, SpanExporter)>, Failure> {
    let collector = OtlpConfig::from_env().map_err(|error| Failure::usage(error.to_string()))?;
    let Some(collector) = collector else { return Ok(None) };
    tracing::info!(endpoint = collector.endpoint(), "asks are sent as spans to a collector");
    let collector = collector.with_tenants(config.otel_tenants);
    spawn_span_exporter(collector).map(Some).map_err(failed("the exporter of spans"))
}

/// The journal of trace rows. What an earlier run left in it is read, which may take a while.
async fn open_journal(config: &Config, data: &DataDir) -> Result<FileJournal, Failure> {
    let (dir, fsync) = (data.journal(), config.fsync);
    let opened = tokio::task::spawn_blocking(move || FileJournal::open(dir, JOURNAL, fsync)).await;
    let cannot = || format!("{} cannot be used", data.journal().display());
    opened
        .map_err(|error| Failure::because(cannot(), &error))?
        .map_err(|error| Failure::because(cannot(), &error))
}

/// The scope of a whole tenant, for what the operator does on this machine.
pub(crate) fn scope_of(tenant: TenantId) -> TenantScope {
    scope_within(tenant, None)
}

/// The same, narrowed to a branch when there is one.
#[expect(
    clippy::disallowed_methods,
    reason = "the operator holds the machine, and with it every tenant's data"
)]
pub(crate) fn scope_within(tenant: TenantId, branch: Option<Uuid>) -> TenantScope {
    let grant = Grant::new(tenant).with_subject("operator");
    let grant = match branch {
        Some(branch) => grant.with_branches(Branches::Only([BranchId::new(branch)].into())),
        None => grant,
    };
    TenantAuthority::new().grant(grant)
}

/// A failure of something with a name.
pub(crate) fn failed(what: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::because(format!("{what} cannot be used"), &error)
}

/// A failure of the database.
pub(crate) fn refused(error: DatabaseError) -> Failure {
    Failure::because("the database cannot be used", &error)
}

/// `DATABASE_URL`, or the private cluster with its schema up to date.
async fn open_database(config: &Config, data: &DataDir) -> Result<(Option<Cluster>, Database), Failure> {
    let Some(url) = &config.database_url else {
        let step = Step::spinner("Starting Postgres");
        let cluster = Cluster::start(&ClusterOptions::new(data.postgres()))
            .await
            .map_err(|error| Failure::because("the private Postgres cannot be started", &error))?;
        step.done();
        let step = Step::spinner("Migrating the schema");
        bootstrap(&cluster.admin_url(DATABASE), APP_LOGIN, Some(cluster.app_password()))
            .await
            .map_err(refused)?;
        let database =
            Database::connect(&DatabaseOptions::new(cluster.app_url(DATABASE))).await.map_err(refused)?;
        step.done();
        return Ok((Some(cluster), database));
    };
    let step = Step::spinner("Connecting to Postgres");
    let database = Database::connect(&DatabaseOptions::new(url.expose())).await.map_err(|error| {
        refused(error).mend(
            "Check DATABASE_URL. A new database needs its schema: run `rag-tower-owner migrate` once, with \
             DATABASE_ADMIN_URL naming a login that may make roles and tables.",
        )
    })?;
    step.done();
    Ok((None, database))
}

/// `migrate`: the schema in the database of `DATABASE_URL`, made as `DATABASE_ADMIN_URL`; without either, in the private
/// cluster.
pub(crate) async fn migrate(config: &Config) -> Result<String, Failure> {
    let Some(url) = &config.database_url else {
        let data = DataDir::open(&config.data)?;
        let _lock = data.lock("migrate")?;
        let (cluster, database) = open_database(config, &data).await?;
        database.close().await;
        if let Some(cluster) = cluster {
            cluster.stop().await.map_err(|error| Failure::because("Postgres did not stop", &error))?;
        }
        return Ok("The schema of the private Postgres is up to date.\n".into());
    };
    let admin = config.database_admin_url.as_ref().ok_or_else(|| {
        Failure::usage("DATABASE_ADMIN_URL is not set").mend(
            "`migrate` needs a login that may make roles and tables, which the server's own login must not be:\n  \
             DATABASE_ADMIN_URL=postgres://postgres:…@host/database rag-tower-owner migrate",
        )
    })?;
    let (login, password) = login_of(url.expose());
    bootstrap(admin.expose(), &login, password.as_deref()).await.map_err(refused)?;
    Ok(format!("The schema is up to date, and the login {login} may use it.\n"))
}

/// User and password of a connection string.
fn login_of(url: &str) -> (String, Option<String>) {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or("");
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let (user, password) = match user.split_once(':') {
        Some((user, password)) => (user, Some(percent_decoded(password))),
        None => (user, None),
    };
    (if user.is_empty() { APP_LOGIN.to_owned() } else { percent_decoded(user) }, password)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::login_of;

    #[test]
    fn a_connection_string_gives_its_login() {
        let (user, password) = login_of("postgres://rag%2Dapp:p%40ss@db:5432/rag?sslmode=require");
        assert_eq!((user.as_str(), password.as_deref()), ("rag-app", Some("p@ss")));
        assert_eq!(login_of("postgres://db/rag").0, "rag_app");
    }
}

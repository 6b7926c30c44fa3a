//! Points in, hits out, through the engine in this process.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use qdrant_edge::{
    CountRequest, EdgeShard, Filter, PointId, QueryRequest, ScoredPoint, UpdateOperation,
    WithPayloadInterface,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::convert;
use super::files::{DIMENSIONS, Directory, Opened};
use super::known_points::KnownPoints;
use super::threads::Threads;
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{DocumentId, Found};
use crate::points::{BRANCH, DOCUMENT, EXACT_UP_TO, TENANT, Visible};
use crate::port::{FusedHit, Hit, HybridQuery, Point, QueryVector, VectorQuery, VectorStore};
use crate::rank::rrf;
use crate::tenant::TenantScope;

/// The embedded engine. Clones share it.
///
/// - **Durability:** a call that writes returns after the engine has flushed. A process killed in the middle of one
///   loses that call and nothing before it; the caller notes what is indexed only after the call returned, and writes
///   the rest again.
/// - **Concurrency:** the engine blocks, so its work runs on threads of the store's own: any number of searches up to twice the
///   processors, and one write at a time (the engine panics when a flush meets an update).
/// - **Upkeep:** after about 10,000 written points, and a fifth of all points, the next write also optimises the index, which takes seconds;
///   searches run on meanwhile.
/// - **Accuracy:** a search is exact for a tenant of up to 50,000 points; above, it walks the graph with a width of
///   512. Searches by words are always exact.
/// - **Room:** a write is refused when the disk has less than 256 MB left. The engine writes through memory maps, and a
///   page that a full disk cannot hold would end the process.
/// - **Closing:** [`close`](Self::close) lets go of the directory. Dropping the last clone does too, after a short
///   blocking flush.
/// - **Cancellation:** dropping a future leaves work that has begun to end by itself. A program that ends does not wait for it, unless
///   it closes the store: a call that was writing is then lost, as it would be by a kill.
#[derive(Clone)]
pub struct EdgeStore {
    inner: Arc<Inner>,
}

/// What an index is for.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    directory: PathBuf,
    dimensions: usize,
    embedder: Arc<str>,
    emptied: bool,
}

struct Inner {
    // Dropped in this order: the engine flushes before the directory is let go.
    shard: EdgeShard,
    directory: Directory,
    dimensions: usize,
    opened: Opened,
    threads: Threads,
    reads: Arc<Semaphore>,
    writer: Arc<Semaphore>,
    written: AtomicUsize,
    /// The most points that there can be: those that were there, and those written since.
    at_most: AtomicUsize,
    known: KnownPoints,
}

/// How many write at a time.
const WRITERS: usize = 1;
/// Room that the disk must have before a write, in bytes: more than one document and the engine's next files take.
const ROOM: u64 = 256 * 1024 * 1024;
/// Written points after which the index is optimised.
const OPTIMISE_AFTER: usize = 10_000;
/// The part of all points that must have been written too: an optimisation of a large index costs more.
const OPTIMISE_PART: usize = 5;
/// A change of the payload's shape or of the engine raises this, and every index is built again.
const LAYOUT: &str = "rag-tower vector index 1, qdrant-edge 0.7.2";

// === impl EdgeOptions ===

impl EdgeOptions {
    /// An index in `directory` for dense vectors of `dimensions` numbers.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, dimensions: usize) -> Self {
        Self { directory: directory.into(), dimensions, embedder: "".into(), emptied: false }
    }

    /// Names what makes the vectors: an index that was made by another is emptied when it is opened, since vectors of
    /// two embedders cannot be compared. Default: no name.
    #[must_use]
    pub fn with_embedder(mut self, name: impl Into<Arc<str>>) -> Self {
        self.embedder = name.into();
        self
    }

    /// Empties the index when it is opened, whatever made it. Default: an index is kept; one for vectors of another
    /// length is refused.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.emptied = true;
        self
    }

    fn marker(&self) -> String {
        format!("{LAYOUT}\n{DIMENSIONS}{}\nembedder {}\n", self.dimensions, self.embedder)
    }
}

// === impl EdgeStore ===

impl EdgeStore {
    /// Opens the index, or makes it. [`opened`](Self::opened) says which, and so whether every document has to be
    /// written to it again. An index that the engine cannot read is emptied, since all of it can be made again.
    ///
    /// # Errors
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable) when another process holds the directory (the message names
    /// it) or it cannot be written, and [`InvalidInput`](ErrorKind::InvalidInput) for no dimensions, or for an index of
    /// vectors of another length: that is more often a wrong setting than a wish to embed everything again, which
    /// [`EdgeOptions::emptied`] is for.
    ///
    /// # Cancellation
    /// The engine is opened on a blocking thread, which goes on to its end and then lets go of the directory.
    pub async fn open(options: EdgeOptions) -> Result<Self, Error> {
        if options.dimensions == 0 {
            return Err(Error::invalid(Stage::Ingest, "an index needs vectors of at least one number"));
        }
        let inner = blocking(move || Inner::open(&options), Stage::Ingest).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How the index was found. When it is empty, tell the document store before anything else, so that it knows that
    /// every document is behind; a process killed before that is found out by comparing counts.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.inner.opened
    }

    /// Flushes, waits for work in progress, and lets go of the directory. Other clones keep it open until they are
    /// gone too.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when the engine panicked.
    ///
    /// # Cancellation
    /// Before it has waited for work in progress nothing has happened; a flush that has begun ends by itself.
    pub async fn close(self) -> Result<(), Error> {
        let permit = permit(&self.inner.writer).await?;
        blocking(
            move || {
                self.inner.shard.flush();
                drop(self);
                drop(permit);
                Ok(())
            },
            Stage::Ingest,
        )
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (permit, inner) = (permit(&self.inner.reads).await?, Arc::clone(&self.inner));
        let job = move || {
            let done = job(&inner);
            drop(permit);
            done
        };
        self.inner.threads.run(job, Stage::Retrieve).await
    }

    async fn write(
        &self,
        job: impl FnOnce(&Inner) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (permit, inner) = (permit(&self.inner.writer).await?, Arc::clone(&self.inner));
        let job = move || {
            let write = || job(&inner).map(|()| inner.shard.flush()).and_then(|()| inner.upkeep());
            let done = inner.directory.has_room(ROOM).and_then(|()| write());
            drop(permit);
            done
        };
        self.inner.threads.run(job, Stage::Ingest).await
    }
}

impl fmt::Debug for EdgeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeStore")
            .field("directory", &self.inner.directory)
            .field("dimensions", &self.inner.dimensions)
            .finish_non_exhaustive()
    }
}

impl VectorStore for EdgeStore {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        for point in &points {
            point.dense.check(Stage::Ingest, self.inner.dimensions)?;
        }
        if points.is_empty() {
            return Ok(());
        }
        let count = points.len();
        let operation = convert::upsert(scope, points)?;
        self.write(move |inner| {
            inner.at_most.fetch_add(count, Ordering::Relaxed);
            inner.update(operation)?;
            inner.written.fetch_add(count, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.delete_documents(scope, &[document]).await
    }

    async fn delete_documents(&self, scope: &TenantScope, documents: &[DocumentId]) -> Result<(), Error> {
        if documents.is_empty() {
            return Ok(());
        }
        let operation = convert::delete(&Visible::documents(scope, documents))?;
        self.write(move |inner| inner.update(operation)).await
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        if let QueryVector::Dense(vector) = &query.vector {
            vector.check(Stage::Retrieve, self.inner.dimensions)?;
        }
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let filter = convert::filter(&Visible::narrowed(scope, &query.filter)?)?;
        let (scope, query) = (scope.clone(), query.clone());
        self.read(move |inner| {
            let exact = inner.is_small(&scope)?;
            let request = convert::query(&query.vector, filter, query.limit, exact, true)?;
            inner.query(request)?.iter().map(convert::hit).collect()
        })
        .await
    }

    /// Both searches in one turn on the blocking pool; only the hits that are left have their payload read.
    async fn hybrid(&self, scope: &TenantScope, query: &HybridQuery) -> Result<Vec<FusedHit>, Error> {
        query.dense.check(Stage::Retrieve, self.inner.dimensions)?;
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let filter = convert::filter(&Visible::narrowed(scope, &query.filter)?)?;
        let (scope, query) = (scope.clone(), query.clone());
        self.read(move |inner| inner.hybrid(&scope, &query, filter)).await
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        let filter = convert::filter(&Visible::of(scope))?;
        self.read(move |inner| {
            let count = CountRequest { filter: Some(filter), exact: true };
            inner.shard.count(count).map(|count| count as u64).map_err(convert::failed(Stage::Retrieve))
        })
        .await
    }
}

// === impl Inner ===

impl Inner {
    fn open(options: &EdgeOptions) -> Result<Self, Error> {
        let directory = Directory::lock(&options.directory)?;
        let (marker, config) = (options.marker(), convert::config(options.dimensions));
        let mut opened = directory.prepare(&marker, options.emptied)?;
        let loaded = match opened {
            Opened::Loaded => match EdgeShard::load(&directory.shard(), Some(config.clone())) {
                Ok(shard) => {
                    directory.warm();
                    Some(shard)
                }
                Err(error) => {
                    tracing::warn!(%error, "the vector index cannot be read and is built again");
                    directory.clear(&marker)?;
                    opened = Opened::Rebuilt;
                    None
                }
            },
            Opened::Created | Opened::Rebuilt => None,
        };
        let failed = || convert::failed(Stage::Ingest);
        let shard = match loaded {
            Some(shard) => shard,
            None => {
                directory.has_room(ROOM)?;
                EdgeShard::new(&directory.shard(), config).map_err(failed())?
            }
        };
        for key in [TENANT, BRANCH, DOCUMENT] {
            if !shard.info().payload_schema.keys().any(|had| had.to_string() == key) {
                shard.update(convert::create_index(key)?).map_err(failed())?;
            }
        }
        shard.flush();
        let info = shard.info();
        if !info.payload_schema.keys().any(|had| had.to_string() == TENANT) {
            return Err(Error::new(ErrorKind::FilterUnavailable, Stage::Ingest));
        }
        let reads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            shard,
            directory,
            dimensions: options.dimensions,
            opened,
            threads: Threads::new(reads + WRITERS)?,
            reads: Arc::new(Semaphore::new(reads)),
            writer: Arc::new(Semaphore::new(WRITERS)),
            written: AtomicUsize::new(0),
            at_most: AtomicUsize::new(info.points_count),
            known: KnownPoints::new(),
        })
    }

    /// Changes points; what was known of any of them is read again.
    fn update(&self, operation: UpdateOperation) -> Result<(), Error> {
        let updated = self.shard.update(operation).map_err(convert::failed(Stage::Ingest));
        self.known.forget();
        updated.map(drop)
    }

    /// True when a scope has few enough points to compare all of them, as it has when all scopes together do.
    fn is_small(&self, scope: &TenantScope) -> Result<bool, Error> {
        if self.at_most.load(Ordering::Relaxed) <= EXACT_UP_TO {
            return Ok(true);
        }
        let filter = convert::filter(&Visible::of(scope))?;
        let count = CountRequest { filter: Some(filter), exact: false };
        let points = self.shard.count(count).map_err(convert::failed(Stage::Retrieve))?;
        Ok(points <= EXACT_UP_TO)
    }

    fn query(&self, request: QueryRequest) -> Result<Vec<ScoredPoint>, Error> {
        self.shard.query(request).map_err(convert::failed(Stage::Retrieve))
    }

    fn hybrid(
        &self,
        scope: &TenantScope,
        query: &HybridQuery,
        filter: Filter,
    ) -> Result<Vec<FusedHit>, Error> {
        let exact = self.is_small(scope)?;
        let leg = |leg: VectorQuery, filter| {
            self.query(convert::query(&leg.vector, filter, leg.limit, exact, false)?)
        };
        let (dense, sparse) = query.legs();
        let sparse = sparse.map(|sparse| leg(sparse, filter.clone())).transpose()?.unwrap_or_default();
        let dense = leg(dense, filter)?;

        let ids = |points: &[ScoredPoint]| points.iter().map(|point| number(point.id)).collect::<Vec<_>>();
        let mut ranked = rrf([(query.dense_weight, ids(&dense)), (1.0 - query.dense_weight, ids(&sparse))]);
        // equal scores are ordered by chunk, which only the payload knows
        let last = query.limit.min(ranked.len()).checked_sub(1).and_then(|last| ranked.get(last));
        let worst = last.map_or(0.0, |(_, score)| *score);
        ranked.retain(|(_, score)| *score >= worst);

        let points = self.points(ranked.iter().map(|(id, _)| PointId::Uuid(Uuid::from_u128(*id))))?;
        let (dense, sparse) = (found(&dense), found(&sparse));
        let mut hits = Vec::with_capacity(ranked.len());
        for ((id, score), point) in ranked.into_iter().zip(points) {
            // one that is not there was deleted meanwhile
            if let Some(point) = point {
                let hit = Hit { score, ..point };
                hits.push(FusedHit { hit, dense: of(&dense, id), sparse: of(&sparse, id) });
            }
        }
        hits.sort_by(|a, b| b.hit.score.total_cmp(&a.hit.score).then(a.hit.chunk.cmp(&b.hit.chunk)));
        hits.truncate(query.limit);
        Ok(hits)
    }

    /// What the payload of each point says, without a score: as it is known, or read. None of one that is not there.
    fn points(&self, ids: impl Iterator<Item = PointId>) -> Result<Vec<Option<Hit>>, Error> {
        let (began, mut points, places) = self.known.get(ids);
        if !places.is_empty() {
            let missing: Vec<PointId> = places.iter().map(|(_, id)| *id).collect();
            let records = self
                .shard
                .retrieve(&missing, Some(WithPayloadInterface::Bool(true)), None)
                .map_err(convert::failed(Stage::Retrieve))?;
            let mut read = Vec::with_capacity(records.len());
            for record in &records {
                read.push((record.id, convert::hit_of(record.payload.as_ref(), 0.0)?));
            }
            self.known.put(began, &read);
            let read: HashMap<PointId, Hit> = read.into_iter().collect();
            for (place, id) in places {
                points[place] = read.get(&id).cloned();
            }
        }
        Ok(points)
    }

    /// Optimises the index when enough was written. The caller holds the writer's permit.
    fn upkeep(&self) -> Result<(), Error> {
        let written = self.written.load(Ordering::Relaxed);
        if written < OPTIMISE_AFTER || written < self.shard.info().points_count / OPTIMISE_PART {
            return Ok(());
        }
        self.written.store(0, Ordering::Relaxed);
        // it writes all points anew beside the old ones
        if let Err(error) = self.directory.has_room(ROOM + self.directory.bytes()) {
            tracing::warn!(%error, "the vector index is not optimised");
            return Ok(());
        }
        let began = std::time::Instant::now();
        self.shard.optimize().map_err(convert::failed(Stage::Ingest))?;
        self.shard.flush();
        tracing::debug!(millis = began.elapsed().as_millis(), "optimised the vector index");
        Ok(())
    }
}

/// A point's id, which is a UUID, as a number: those are compared at once, where a UUID is compared byte by byte.
fn number(id: PointId) -> u128 {
    match id {
        PointId::Uuid(id) => id.as_u128(),
        PointId::NumId(id) => id.into(),
    }
}

/// How each point was found, ascending by id.
fn found(points: &[ScoredPoint]) -> Vec<(u128, Found)> {
    let ranked = (1..).zip(points);
    let mut found: Vec<_> =
        ranked.map(|(rank, point)| (number(point.id), Found { rank, score: point.score })).collect();
    found.sort_unstable_by_key(|(id, _)| *id);
    found
}

fn of(found: &[(u128, Found)], id: u128) -> Option<Found> {
    let at = found.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    Some(found[at].1)
}

async fn permit(of: &Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
    Arc::clone(of).acquire_owned().await.map_err(|error| Error::internal(Stage::Retrieve, error))
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    stage: Stage,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(job).await.map_err(|error| Error::internal(stage, error))?
}

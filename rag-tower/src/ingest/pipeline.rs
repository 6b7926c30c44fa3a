//! An [`Ingest`] request in, documents kept and searchable out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::ServiceExt;
use tower_service::Service;

use super::{Chunker, Extracted, Format, extract};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{ChunkId, DocumentId, Origin};
use crate::port::{
    Chunk, Document, DocumentStore, EmbedKind, EmbedRequest, Embedder, Embedding, Point, VectorStore,
};
use crate::scoped::Scoped;
use crate::stage::ResponseFuture;
use crate::tenant::{BranchId, TenantScope};
use crate::text::{Bm25, DocumentTerms, document_terms};
use crate::trace::TraceHandle;

/// A file of a tenant to take in.
#[derive(Clone)]
pub struct Ingest {
    scope: TenantScope,
    trace: TraceHandle,
    file_name: Arc<str>,
    format: Option<Format>,
    bytes: Bytes,
    branch: Option<BranchId>,
    labels: BTreeMap<String, String>,
    progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// How far an [`Ingest`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The file has been read and cut.
    Prepared {
        /// Documents in the file.
        documents: usize,
        /// Chunks of all of them.
        chunks: usize,
    },
    /// So many chunks have a vector.
    Embedded {
        /// Done so far.
        chunks: usize,
    },
    /// So many chunks are kept and searchable.
    Indexed {
        /// Done so far.
        chunks: usize,
    },
}

/// What an [`Ingest`] has taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// The documents, in the file's order.
    pub documents: Vec<DocumentId>,
    /// Their chunks.
    pub chunks: usize,
}

/// The service that takes files in: [`Ingest`] in, [`Ingested`] out.
///
/// For each document of the file: cut it, embed its chunks a batch at a time, put it into the [`DocumentStore`], replace
/// its points in the [`VectorStore`], and only then mark it as indexed. The order makes every crash harmless: before
/// the put the old version stays whole; after it the document is kept and known to be behind, and
/// [`reindex`](Self::reindex) mends it. The same file name again is the same document and replaces it; for the moment
/// between removing its old points and writing the new ones it is not found.
///
/// - **Readiness:** always ready; the embedder is asked for its own, a batch at a time.
/// - **Bounds:** one file (of at most [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES)) and its vectors are held at a time;
///   batches have 64 chunks. How many calls run at once is the caller's to limit.
/// - **Cancellation:** dropping the future stops before the next step; what has been put stays, behind.
/// - **Panics:** never of its own; a parser that panics fails its file.
pub struct Ingestor<E, D, V> {
    embedder: E,
    documents: Arc<D>,
    vectors: Arc<V>,
    chunker: Chunker,
    bm25: Bm25,
}

/// Chunks embedded, or written to the index, in one call.
const BATCH: usize = 64;

/// A document that has been read and cut.
struct Prepared {
    document: Document,
    chunks: Vec<Chunk>,
}

// === impl Ingest ===

impl Ingest {
    /// A file, for every branch of the tenant, without labels; its format is what its name says.
    #[must_use]
    pub fn new(scope: TenantScope, file_name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Self {
        Self {
            scope,
            trace: TraceHandle::new(),
            file_name: file_name.into(),
            format: None,
            bytes: bytes.into(),
            branch: None,
            labels: BTreeMap::new(),
            progress: None,
        }
    }

    /// Says what the file is. Default: what its name says.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Gives the file to one branch. Default: every branch sees it.
    #[must_use]
    pub fn with_branch(mut self, branch: BranchId) -> Self {
        self.branch = Some(branch);
        self
    }

    /// Adds a label, for [`Condition::Label`](crate::filter::Condition::Label). Default: none.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Tells how far it has come, from whichever thread does the work. It must not block. Default: nobody is told.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// Writes into this trace. Default: its own.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceHandle) -> Self {
        self.trace = trace;
        self
    }

    fn tell(&self, progress: Progress) {
        if let Some(tell) = &self.progress {
            tell(progress);
        }
    }

    /// Reads and cuts the file. Processor work: not for the runtime's own threads.
    fn prepare(&self, chunker: Chunker) -> Result<Vec<Prepared>, Error> {
        let format = self.format.or_else(|| Format::of(&self.file_name)).ok_or_else(|| {
            Error::invalid(
                Stage::Ingest,
                "the file's name has no known ending: use .md, .txt, .html or .jsonl, or name its format",
            )
        })?;
        let texts = extract(format, &self.bytes)?;
        Ok(texts.into_iter().map(|text| self.document(text, chunker)).collect())
    }

    fn document(&self, text: Extracted, chunker: Chunker) -> Prepared {
        let tenant = self.scope.tenant();
        let name = match &text.name {
            Some(name) => Arc::from(format!("{}#{name}", self.file_name)),
            None => Arc::clone(&self.file_name),
        };
        let title = match text.title {
            Some(title) => Arc::from(title),
            None => stem(&name),
        };
        let id = DocumentId::named(tenant, &name);
        let mut labels = text.labels;
        labels.extend(self.labels.clone());
        let chunks = (0..)
            .zip(chunker.pieces(&text.text))
            .map(|(seq, piece)| Chunk {
                id: ChunkId::of(tenant, id, seq),
                seq,
                terms: terms(&title, &piece.text).counts,
                text: piece.text.into(),
            })
            .collect();
        Prepared { document: Document { id, branch: self.branch, title, file_name: name, labels }, chunks }
    }
}

impl Scoped for Ingest {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest")
            .field("scope", &self.scope)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

// === impl Ingestor ===

impl<E, D, V> Ingestor<E, D, V> {
    /// A pipeline with [`Chunker::new`] and [`Bm25::new`].
    #[must_use]
    pub fn new(embedder: E, documents: Arc<D>, vectors: Arc<V>) -> Self {
        Self { embedder, documents, vectors, chunker: Chunker::new(), bm25: Bm25::new() }
    }

    /// Sets how texts are cut. Default: [`Chunker::new`].
    #[must_use]
    pub fn with_chunker(mut self, chunker: Chunker) -> Self {
        self.chunker = chunker;
        self
    }
}

impl<E: Embedder, D: DocumentStore, V: VectorStore> Ingestor<E, D, V> {
    /// Puts a kept document into the vector index again: after a crash, a new embedder, or a lost index.
    ///
    /// # Errors
    /// The embedder's and the stores'.
    pub async fn reindex(
        &self,
        scope: &TenantScope,
        document: &Document,
        chunks: &[Chunk],
    ) -> Result<(), Error> {
        let vectors = self.embed(scope, &TraceHandle::new(), document, chunks, |_| ()).await?;
        self.index(scope, document, chunks, vectors).await
    }

    /// Removes a document everywhere: from the truth first, so that it is out of every answer at once. True when there
    /// was one.
    ///
    /// # Errors
    /// The stores'. When the index fails after the document is gone, the index's points lead nowhere, and removing
    /// again removes them.
    pub async fn remove(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        let removed = self.documents.delete(scope, document).await?;
        self.vectors.delete_document(scope, document).await?;
        self.documents.mark_indexed(scope, document).await?;
        Ok(removed)
    }

    async fn ingest(&self, request: Ingest) -> Result<Ingested, Error> {
        let Ingest { scope, trace, branch, .. } = &request;
        if !scope.admits(Origin::Tenant { tenant: scope.tenant(), branch: *branch }) {
            return Err(Error::new(ErrorKind::NotFound, Stage::Ingest).with_message("no such branch"));
        }
        let timer = trace.time(Stage::Ingest);
        let prepared = tokio::task::spawn_blocking({
            let (request, chunker) = (request.clone(), self.chunker);
            move || request.prepare(chunker)
        })
        .await
        .map_err(|error| Error::invalid(Stage::Ingest, "the file could not be read").with_source(error))??;
        let chunks = prepared.iter().map(|prepared| prepared.chunks.len()).sum();
        request.tell(Progress::Prepared { documents: prepared.len(), chunks });

        let mut done = Ingested::default();
        for Prepared { document, chunks } in prepared {
            let before = done.chunks;
            let tell = |chunks| request.tell(Progress::Embedded { chunks: before + chunks });
            let vectors = self.embed(scope, trace, &document, &chunks, tell).await?;
            self.documents.put(scope, &document, &chunks).await?;
            self.index(scope, &document, &chunks, vectors).await?;
            done.documents.push(document.id);
            done.chunks += chunks.len();
            request.tell(Progress::Indexed { chunks: done.chunks });
        }
        drop(timer);
        Ok(done)
    }

    async fn embed(
        &self,
        scope: &TenantScope,
        trace: &TraceHandle,
        document: &Document,
        chunks: &[Chunk],
        tell: impl Fn(usize) + Send,
    ) -> Result<Vec<Embedding>, Error> {
        let mut vectors = Vec::with_capacity(chunks.len());
        for batch in chunks.chunks(BATCH) {
            let texts = batch.iter().map(|chunk| with_title(&document.title, &chunk.text)).collect();
            let request =
                EmbedRequest { scope: scope.clone(), trace: trace.clone(), kind: EmbedKind::Document, texts };
            let found = self.embedder.clone().oneshot(request).await?;
            if found.len() != batch.len() {
                return Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed).with_message(format!(
                    "the embedder answered {} vectors for {} texts",
                    found.len(),
                    batch.len()
                )));
            }
            vectors.extend(found);
            tell(vectors.len());
        }
        Ok(vectors)
    }

    async fn index(
        &self,
        scope: &TenantScope,
        document: &Document,
        chunks: &[Chunk],
        vectors: Vec<Embedding>,
    ) -> Result<(), Error> {
        self.vectors.delete_document(scope, document.id).await?;
        let mut vectors = vectors.into_iter();
        for batch in chunks.chunks(BATCH) {
            let points = batch.iter().zip(vectors.by_ref()).map(|(chunk, dense)| Point {
                chunk: chunk.id,
                document: document.id,
                branch: document.branch,
                dense,
                sparse: self.bm25.document(&terms(&document.title, &chunk.text)),
                labels: document.labels.clone(),
            });
            self.vectors.upsert(scope, points.collect()).await?;
        }
        self.documents.mark_indexed(scope, document.id).await
    }
}

impl<E: Clone, D, V> Clone for Ingestor<E, D, V> {
    fn clone(&self) -> Self {
        Self {
            embedder: self.embedder.clone(),
            documents: Arc::clone(&self.documents),
            vectors: Arc::clone(&self.vectors),
            chunker: self.chunker,
            bm25: self.bm25,
        }
    }
}

impl<E, D, V> fmt::Debug for Ingestor<E, D, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingestor").field("chunker", &self.chunker).finish_non_exhaustive()
    }
}

impl<E: Embedder, D: DocumentStore, V: VectorStore> Service<Ingest> for Ingestor<E, D, V> {
    type Response = Ingested;
    type Error = Error;
    type Future = ResponseFuture<Ingested>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Ingest) -> Self::Future {
        let this = self.clone();
        ResponseFuture::new(async move { this.ingest(request).await })
    }
}

/// What is indexed of a chunk: its text, under its document's title unless it begins with it.
fn with_title(title: &str, text: &Arc<str>) -> Arc<str> {
    let headed = text.strip_prefix("# ").is_some_and(|text| text.starts_with(title));
    if headed || title.is_empty() { Arc::clone(text) } else { format!("{title}\n\n{text}").into() }
}

fn terms(title: &str, text: &str) -> DocumentTerms {
    document_terms(&with_title(title, &text.into()))
}

/// The file's name without folders and ending.
fn stem(file_name: &str) -> Arc<str> {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem }).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::MemoryDocuments;
    use super::*;
    use crate::embed::LocalEmbedder;
    use crate::port::{Hit, VectorQuery};
    use crate::retrieve::{
        DenseSource, EmbedQuery, EmbedQueryLayer, MemoryVectors, Query, Retrieve, SparseSource, fetch,
    };
    use crate::{Filter, Grant, TenantAuthority, TenantId};

    /// Vectors that fail from the n-th write on, until told otherwise.
    struct Flaky {
        inner: MemoryVectors,
        writes_left: AtomicU32,
    }

    impl VectorStore for Flaky {
        async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
            let left = self.writes_left.load(Ordering::SeqCst);
            if left == 0 {
                return Err(Error::new(ErrorKind::StoreUnavailable, Stage::Ingest));
            }
            self.writes_left.store(left - 1, Ordering::SeqCst);
            self.inner.upsert(scope, points).await
        }

        async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
            self.inner.delete_document(scope, document).await
        }

        async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
            self.inner.search(scope, query).await
        }

        async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
            self.inner.count(scope).await
        }
    }

    struct World {
        documents: Arc<MemoryDocuments>,
        vectors: Arc<Flaky>,
        ingestor: Ingestor<LocalEmbedder, MemoryDocuments, Flaky>,
    }

    impl World {
        fn new() -> Self {
            let documents = Arc::new(MemoryDocuments::new(10_000));
            let vectors = Arc::new(Flaky {
                inner: MemoryVectors::new(768, 10_000),
                writes_left: AtomicU32::new(u32::MAX),
            });
            let ingestor = Ingestor::new(LocalEmbedder::new(), Arc::clone(&documents), Arc::clone(&vectors));
            Self { documents, vectors, ingestor }
        }

        async fn take(&self, scope: &TenantScope, name: &str, text: &str) -> Result<Ingested, Error> {
            self.ingestor.clone().oneshot(Ingest::new(scope.clone(), name, text.to_owned())).await
        }

        fn sparse(&self) -> SparseSource<Flaky, MemoryDocuments, MemoryDocuments> {
            let documents = Arc::clone(&self.documents);
            SparseSource::new(Arc::clone(&self.vectors), Arc::clone(&documents), documents)
        }

        fn dense(&self) -> EmbedQuery<DenseSource<Flaky, MemoryDocuments>, LocalEmbedder> {
            let source = DenseSource::new(Arc::clone(&self.vectors), Arc::clone(&self.documents));
            tower_layer::Layer::layer(&EmbedQueryLayer::new(LocalEmbedder::new()), source)
        }
    }

    fn scope(name: &str) -> TenantScope {
        TenantAuthority::new().grant(TenantId::named(name))
    }

    async fn titles<R: Retrieve<()>>(source: R, scope: &TenantScope, text: &str) -> Vec<String> {
        let query = Query {
            scope: scope.clone(),
            trace: TraceHandle::new(),
            text: text.into(),
            vector: (),
            filter: Filter::default(),
            limit: 10,
        };
        let found = fetch(source, query).await.unwrap();
        found.iter().map(|passage| passage.title.to_string()).collect()
    }

    #[tokio::test]
    async fn what_goes_in_is_found_by_its_own_tenant_only() {
        let (world, a, b) = (World::new(), scope("a"), scope("b"));
        world.take(&a, "phi.md", "# Học phí\n\nKhoá IELTS: 2.500.000đ mỗi tháng.").await.unwrap();
        world.take(&a, "gio.md", "# Giờ mở cửa\n\nTừ 8 giờ sáng.").await.unwrap();
        world.take(&b, "other.md", "# Khác\n\nHọc phí của người khác.").await.unwrap();
        for query in ["học phí", "hoc phi"] {
            assert_eq!(titles(world.sparse(), &a, query).await, ["Học phí"]);
            assert_eq!(titles(world.dense(), &a, query).await[0], "Học phí");
            assert_eq!(titles(world.sparse(), &b, query).await, ["Khác"]);
        }
        assert!(titles(world.sparse(), &scope("nobody"), "học phí").await.is_empty());
        assert!(titles(world.sparse(), &a, "?!").await.is_empty());
    }

    #[tokio::test]
    async fn the_same_file_again_replaces_and_a_removed_one_is_gone() {
        let (world, a) = (World::new(), scope("a"));
        let long: String = (0..400).map(|n| format!("Alpha sentence number {n}. ")).collect();
        let first = world.take(&a, "x.txt", &long).await.unwrap();
        assert!(first.chunks > 2);
        let second = world.take(&a, "x.txt", "Beta.").await.unwrap();
        assert_eq!((first.documents.clone(), second.chunks), (second.documents, 1));
        assert_eq!(world.vectors.count(&a).await.unwrap(), 1);
        assert!(titles(world.sparse(), &a, "alpha").await.is_empty());
        assert_eq!(titles(world.sparse(), &a, "beta").await, ["x"]);

        assert!(!world.ingestor.remove(&scope("b"), first.documents[0]).await.unwrap());
        assert_eq!(titles(world.sparse(), &a, "beta").await, ["x"]);
        assert!(world.ingestor.remove(&a, first.documents[0]).await.unwrap());
        assert_eq!(world.vectors.count(&a).await.unwrap(), 0);
        assert!(titles(world.sparse(), &a, "beta").await.is_empty());
    }

    #[tokio::test]
    async fn a_document_that_missed_the_index_is_mended() {
        let (world, a) = (World::new(), scope("a"));
        world.vectors.writes_left.store(0, Ordering::SeqCst);
        let failed = world.take(&a, "x.md", "# X\n\nGamma.").await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::StoreUnavailable);
        world.vectors.writes_left.store(u32::MAX, Ordering::SeqCst);
        let behind = world.documents.behind(&a);
        assert_eq!(behind.len(), 1);
        for (document, chunks) in behind {
            world.ingestor.reindex(&a, &document, &chunks).await.unwrap();
        }
        assert!(world.documents.behind(&a).is_empty());
        assert_eq!(titles(world.sparse(), &a, "gamma").await, ["X"]);
    }

    #[tokio::test]
    async fn an_embedder_that_fails_leaves_the_old_version_whole() {
        let (world, a) = (World::new(), scope("a"));
        world.take(&a, "x.md", "Delta.").await.unwrap();
        let broken = tower::service_fn(|_: EmbedRequest| async { Ok::<_, Error>(Vec::<Embedding>::new()) });
        let ingestor = Ingestor::new(broken, Arc::clone(&world.documents), Arc::clone(&world.vectors));
        let failed = ingestor.oneshot(Ingest::new(a.clone(), "x.md", "Epsilon.")).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ProviderInvalid);
        assert_eq!(titles(world.sparse(), &a, "delta").await, ["x"]);
    }

    #[tokio::test]
    async fn progress_is_told_and_bad_requests_are_refused() {
        let (world, a) = (World::new(), scope("a"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let lines = "{\"text\":\"one\"}\n{\"text\":\"two\",\"id\":\"b\"}";
        let request = Ingest::new(a.clone(), "d.jsonl", lines)
            .with_progress(move |progress| told.lock().unwrap().push(progress));
        let done = world.ingestor.clone().oneshot(request).await.unwrap();
        assert_eq!((done.documents.len(), done.chunks), (2, 2));
        assert_eq!(
            *seen.lock().unwrap(),
            [
                Progress::Prepared { documents: 2, chunks: 2 },
                Progress::Embedded { chunks: 1 },
                Progress::Indexed { chunks: 1 },
                Progress::Embedded { chunks: 2 },
                Progress::Indexed { chunks: 2 },
            ]
        );

        let unknown = world.take(&a, "x.exe", "MZ").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
        let branch = BranchId::named(a.tenant(), "north");
        let narrow = TenantAuthority::new()
            .grant(Grant::new(a.tenant()).with_branches(crate::tenant::Branches::Only(Arc::from([]))));
        let foreign = Ingest::new(narrow, "x.md", "text").with_branch(branch);
        let refused = world.ingestor.clone().oneshot(foreign).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}

//! An [`Ingest`] request in, documents kept and searchable out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::ServiceExt;
use tower_service::Service;

use super::batch::{BATCH, Item, batches};
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
/// The documents are cut and taken in a batch at a time, small ones together: embed their chunks, put each into the
/// [`DocumentStore`], replace their points in the [`VectorStore`], and only then mark each as indexed. The order makes every
/// crash harmless: before the put the old version stays whole; after it the document is kept and known to be behind, and
/// [`reindex`](Self::reindex) mends it. The same file name again is the same document and replaces it; for the moment
/// between removing its old points and writing the new ones it is not found.
///
/// A document that cannot be taken in does not keep the others out: when a batch fails for a reason that may be one
/// document's, each of it is tried alone. The file still ends in an error, which names the document and says how many of
/// the others are in. A store or a model that is away, and eight documents refused in a row, end the work at once.
///
/// - **Readiness:** always ready; the embedder is asked for its own, a batch at a time.
/// - **Bounds:** one file (of at most [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES)), or those that
///   [`take_all`](Self::take_all) is given, and the vectors of one batch are held at a time. A batch has 64 chunks and 512 KiB
///   of text at most, or is one document; calls to embed and to write have 64 chunks. How many run at once is the caller's to
///   limit.
/// - **Cancellation:** dropping the future stops before the next step; what has been put stays, behind.
/// - **Panics:** never of its own; a parser that panics fails its file.
pub struct Ingestor<E, D, V> {
    embedder: E,
    documents: Arc<D>,
    vectors: Arc<V>,
    chunker: Chunker,
    bm25: Bm25,
}

/// Refusals in a row after which the fault is not the documents'.
const IN_A_ROW: usize = 8;

/// How the files of one call fare.
struct Progresses<'r> {
    requests: &'r [Ingest],
    files: Vec<Fate>,
    refused_in_a_row: usize,
    /// Why nothing more is tried.
    ended: Option<(ErrorKind, Stage, String)>,
}

/// How one file fares.
#[derive(Default)]
struct Fate {
    done: Ingested,
    refused: usize,
    /// The first refusal.
    error: Option<Error>,
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
    fn prepare(&self, file: usize, chunker: Chunker) -> Result<Vec<Item>, Error> {
        let format = self.format.or_else(|| Format::of(&self.file_name)).ok_or_else(|| {
            Error::invalid(
                Stage::Ingest,
                "the file's name has no known ending: use .md, .txt, .html or .jsonl, or name its format",
            )
        })?;
        let texts = extract(format, &self.bytes)?;
        Ok(texts.into_iter().map(|text| self.item(file, text, chunker)).collect())
    }

    fn item(&self, file: usize, text: Extracted, chunker: Chunker) -> Item {
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
        Item { file, document: Document { id, branch: self.branch, title, file_name: name, labels }, chunks }
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
    /// Takes several files in, small ones together, and says of each how it went, in their order. Files of different scopes
    /// never share a call.
    ///
    /// # Cancellation
    /// A document whose text is kept and whose points are not stays marked as behind: [`reindex`](Self::reindex) mends it. No
    /// document is ever half one text and half another.
    pub async fn take_all(&self, requests: Vec<Ingest>) -> Vec<Result<Ingested, Error>> {
        let timers: Vec<_> = requests.iter().map(|request| request.trace.time(Stage::Ingest)).collect();
        let mut run = Progresses::new(&requests);
        let mut items = Vec::new();
        for (file, request) in requests.iter().enumerate() {
            match self.prepare(file, request).await {
                Ok(found) => {
                    let chunks = found.iter().map(|item| item.chunks.len()).sum();
                    request.tell(Progress::Prepared { documents: found.len(), chunks });
                    items.extend(found);
                }
                Err(error) => run.fail(file, error),
            }
        }
        let apart = |a: &Item, b: &Item| requests[a.file].scope != requests[b.file].scope;
        for batch in batches(items, apart) {
            self.take(&mut run, batch).await;
        }
        let done = run.finish();
        drop(timers);
        done
    }

    /// Puts kept documents into the vector index again, small ones together: after a crash, a new embedder, or a lost index.
    ///
    /// # Errors
    /// The embedder's and the stores', naming the document. Those before it are in the index.
    ///
    /// # Cancellation
    /// Those that were done are in the index and marked so; the others stay behind.
    pub async fn reindex(
        &self,
        scope: &TenantScope,
        documents: Vec<(Document, Vec<Chunk>)>,
    ) -> Result<(), Error> {
        let items = documents.into_iter().map(|(document, chunks)| Item { file: 0, document, chunks });
        for batch in batches(items.collect(), |_, _| false) {
            let done = async {
                let vectors = self.embed(scope, &TraceHandle::new(), &batch, |_, _| ()).await?;
                self.index(scope, &batch, vectors).await
            };
            done.await.map_err(|error| about(&batch, error))?;
        }
        Ok(())
    }

    /// Removes a document everywhere: from the truth first, so that it is out of every answer at once. True when there
    /// was one.
    ///
    /// # Errors
    /// The stores'. When the index fails after the document is gone, the index's points lead nowhere, and removing
    /// again removes them. The same holds when the future is dropped.
    pub async fn remove(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        let removed = self.documents.delete(scope, document).await?;
        self.vectors.delete_document(scope, document).await?;
        self.documents.mark_indexed(scope, document).await?;
        Ok(removed)
    }

    async fn prepare(&self, file: usize, request: &Ingest) -> Result<Vec<Item>, Error> {
        let Ingest { scope, branch, .. } = request;
        if !scope.admits(Origin::Tenant { tenant: scope.tenant(), branch: *branch }) {
            return Err(Error::new(ErrorKind::NotFound, Stage::Ingest).with_message("no such branch"));
        }
        let (request, chunker) = (request.clone(), self.chunker);
        tokio::task::spawn_blocking(move || request.prepare(file, chunker))
            .await
            .map_err(|error| Error::invalid(Stage::Ingest, "the file could not be read").with_source(error))?
    }

    /// Takes a batch in; when it fails for what may be the fault of one document, each of it alone.
    async fn take(&self, run: &mut Progresses<'_>, batch: Vec<Item>) {
        if run.ended.is_some() {
            return run.pass_over(&batch);
        }
        match self.together(run, &batch).await {
            Ok(()) => run.done(&batch),
            Err(error) if batch.len() == 1 || is_outage(error.kind()) => run.refuse(&batch, error),
            Err(_) => {
                for item in batch.chunks(1) {
                    if run.ended.is_some() {
                        run.pass_over(item);
                        continue;
                    }
                    match self.together(run, item).await {
                        Ok(()) => run.done(item),
                        Err(error) => run.refuse(item, error),
                    }
                }
            }
        }
    }

    /// All of these documents or, with an error, perhaps some of them. Doing it again is harmless.
    async fn together(&self, run: &Progresses<'_>, items: &[Item]) -> Result<(), Error> {
        let Some(request) = items.first().map(|first| &run.requests[first.file]) else { return Ok(()) };
        let mut embedded: Vec<usize> = run.files.iter().map(|fate| fate.done.chunks).collect();
        let told = |file: usize, more: usize| {
            embedded[file] += more;
            run.requests[file].tell(Progress::Embedded { chunks: embedded[file] });
        };
        let vectors = self.embed(&request.scope, &request.trace, items, told).await?;
        for Item { document, chunks, .. } in items {
            self.documents.put(&request.scope, document, chunks).await?;
        }
        self.index(&request.scope, items, vectors).await
    }

    /// A vector for each chunk of the documents, in order; `told` hears of which file and how many.
    async fn embed(
        &self,
        scope: &TenantScope,
        trace: &TraceHandle,
        items: &[Item],
        mut told: impl FnMut(usize, usize) + Send,
    ) -> Result<Vec<Embedding>, Error> {
        let chunks: Vec<(&Item, &Chunk)> =
            items.iter().flat_map(|item| item.chunks.iter().map(move |chunk| (item, chunk))).collect();
        let mut vectors = Vec::with_capacity(chunks.len());
        for batch in chunks.chunks(BATCH) {
            let text = |(item, chunk): &(&Item, &Chunk)| with_title(&item.document.title, &chunk.text);
            let request = EmbedRequest {
                scope: scope.clone(),
                trace: trace.clone(),
                kind: EmbedKind::Document,
                texts: batch.iter().map(text).collect(),
            };
            let found = self.embedder.clone().oneshot(request).await?;
            if found.len() != batch.len() {
                return Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed).with_message(format!(
                    "the embedder answered {} vectors for {} texts",
                    found.len(),
                    batch.len()
                )));
            }
            vectors.extend(found);
            for of_file in batch.chunk_by(|(a, _), (b, _)| a.file == b.file) {
                told(of_file[0].0.file, of_file.len());
            }
        }
        Ok(vectors)
    }

    /// Replaces the points of the documents, and then marks each.
    async fn index(&self, scope: &TenantScope, items: &[Item], vectors: Vec<Embedding>) -> Result<(), Error> {
        let ids: Vec<DocumentId> = items.iter().map(|item| item.document.id).collect();
        self.vectors.delete_documents(scope, &ids).await?;
        let mut points = self.points(items, vectors).into_iter();
        loop {
            let batch: Vec<Point> = points.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.vectors.upsert(scope, batch).await?;
        }
        for id in ids {
            self.documents.mark_indexed(scope, id).await?;
        }
        Ok(())
    }

    fn points(&self, items: &[Item], vectors: Vec<Embedding>) -> Vec<Point> {
        let chunks =
            items.iter().flat_map(|item| item.chunks.iter().map(move |chunk| (&item.document, chunk)));
        let point = |((document, chunk), dense): ((&Document, &Chunk), Embedding)| Point {
            chunk: chunk.id,
            document: document.id,
            branch: document.branch,
            dense,
            sparse: self.bm25.document(&terms(&document.title, &chunk.text)),
            labels: document.labels.clone(),
        };
        chunks.zip(vectors).map(point).collect()
    }
}

// === impl Progresses ===

impl<'r> Progresses<'r> {
    fn new(requests: &'r [Ingest]) -> Self {
        let files = requests.iter().map(|_| Fate::default()).collect();
        Self { requests, files, refused_in_a_row: 0, ended: None }
    }

    fn done(&mut self, items: &[Item]) {
        self.refused_in_a_row = 0;
        for item in items {
            let done = &mut self.files[item.file].done;
            done.documents.push(item.document.id);
            done.chunks += item.chunks.len();
            self.requests[item.file].tell(Progress::Indexed { chunks: done.chunks });
        }
    }

    /// These documents failed, for one reason.
    fn refuse(&mut self, items: &[Item], error: Error) {
        self.refused_in_a_row += items.len();
        let error = about(items, error);
        if is_outage(error.kind()) || self.refused_in_a_row >= IN_A_ROW {
            self.ended = Some((error.kind(), error.stage(), error.to_string()));
        }
        if let Some(first) = items.first() {
            self.fail(first.file, error);
        }
        self.pass_over(items.get(1..).unwrap_or_default());
    }

    /// These documents are not tried, or failed with others.
    fn pass_over(&mut self, items: &[Item]) {
        for item in items {
            let error = self
                .ended
                .as_ref()
                .map(|(kind, stage, message)| Error::new(*kind, *stage).with_message(message.clone()));
            let unknown = || Error::new(ErrorKind::Internal, Stage::Ingest);
            self.fail(item.file, error.unwrap_or_else(unknown));
        }
    }

    fn fail(&mut self, file: usize, error: Error) {
        let fate = &mut self.files[file];
        fate.refused += 1;
        fate.error.get_or_insert(error);
    }

    fn finish(self) -> Vec<Result<Ingested, Error>> {
        self.files.into_iter().map(Fate::result).collect()
    }
}

// === impl Fate ===

impl Fate {
    fn result(self) -> Result<Ingested, Error> {
        let Some(error) = self.error else { return Ok(self.done) };
        let taken = self.done.documents.len();
        if taken + self.refused == 1 {
            return Err(error);
        }
        let message = format!(
            "{error} ({} of {} documents of the file are not taken in)",
            self.refused,
            taken + self.refused
        );
        Err(error.with_message(message))
    }
}

/// True for what no document is to blame for.
fn is_outage(kind: ErrorKind) -> bool {
    kind.fails_closed()
        || matches!(
            kind,
            ErrorKind::ProviderUnavailable | ErrorKind::ProviderRateLimited | ErrorKind::Timeout
        )
}

/// The error, saying of which documents.
fn about(items: &[Item], error: Error) -> Error {
    let message = match items {
        [] => return error,
        [one] => format!("{}: {error}", one.document.file_name),
        [first, others @ ..] => {
            format!("{} and {} more documents: {error}", first.document.file_name, others.len())
        }
    };
    error.with_message(message)
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
        ResponseFuture::new(async move {
            let done = this.take_all(vec![request]).await.pop();
            done.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, Stage::Ingest)))
        })
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
mod tests;

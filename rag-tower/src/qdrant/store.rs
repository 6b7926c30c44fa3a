//! Points in, hits out, through a Qdrant server.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qdrant_client::Qdrant;
use qdrant_client::qdrant::{CollectionInfo, PayloadSchemaType, QueryPoints, vectors_config};
use tokio::time::Instant;

use super::convert;
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::DocumentId;
use crate::points::{BRANCH, DENSE, DOCUMENT, TENANT, Visible};
use crate::port::{FusedHit, Hit, HybridQuery, Point, QueryVector, VectorQuery, VectorStore};
use crate::rank::{fuse_hits, scaled};
use crate::tenant::TenantScope;

/// A collection of a Qdrant server. Clones share the connections.
///
/// - **Isolation:** every search, count and delete has `must tenant_id == …` at its top level, and the caller's filter
///   nested inside it. The server does not enforce this by itself, so the collection's tenant index is looked at before
///   the first search and every 30 seconds after it; without it nothing is searched.
/// - **Durability:** a call that writes returns when the server has applied it.
/// - **Limits:** each request takes at most the timeout; nothing is retried here.
/// - **Cancellation:** dropping a future drops the request; a write may still have happened.
#[derive(Clone)]
pub struct QdrantStore {
    inner: Arc<Inner>,
}

/// Where a collection is, and what it is for.
#[derive(Clone)]
pub struct QdrantOptions {
    url: String,
    api_key: Option<String>,
    collection: String,
    dimensions: usize,
    timeout: Duration,
    check_every: Duration,
    emptied: bool,
}

struct Inner {
    client: Qdrant,
    collection: String,
    dimensions: usize,
    check_every: Duration,
    checked: Mutex<Option<Instant>>,
}

// === impl QdrantOptions ===

impl QdrantOptions {
    /// The collection `rag_tower` of the server at `url` (its gRPC port, usually 6334), for dense vectors of
    /// `dimensions` numbers.
    #[must_use]
    pub fn new(url: impl Into<String>, dimensions: usize) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            collection: "rag_tower".into(),
            dimensions,
            timeout: Duration::from_secs(10),
            check_every: Duration::from_secs(30),
            emptied: false,
        }
    }

    /// Sets the server's API key. Default: none.
    #[must_use]
    pub fn with_api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Sets the collection. Default: `rag_tower`.
    #[must_use]
    pub fn with_collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
        self
    }

    /// Sets the most a request may take. Default: 10 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Drops the collection when connecting and makes it anew. Default: a collection is kept; one for vectors of another
    /// length is refused.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.emptied = true;
        self
    }

    /// Sets how long a look at the tenant index is good for. Default: 30 seconds.
    #[must_use]
    pub fn with_check_every(mut self, period: Duration) -> Self {
        self.check_every = period;
        self
    }
}

impl fmt::Debug for QdrantOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantOptions")
            .field("collection", &self.collection)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

// === impl QdrantStore ===

impl QdrantStore {
    /// Connects, and makes the collection and its indexes where they are missing.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad URL or a collection for other vectors, and
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable) when the server cannot be reached or refuses.
    ///
    /// # Cancellation
    /// What was made stays, and the next call makes the rest.
    pub async fn connect(options: QdrantOptions) -> Result<Self, Error> {
        let client = Qdrant::from_url(&options.url)
            .api_key(options.api_key)
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            .skip_compatibility_check()
            .build()
            .map_err(|error| {
                Error::invalid(Stage::Ingest, "the Qdrant URL is not valid: expected http(s)://host:port")
                    .with_source(error)
            })?;
        let inner = Inner {
            client,
            collection: options.collection,
            dimensions: options.dimensions,
            check_every: options.check_every,
            checked: Mutex::new(None),
        };
        inner.prepare(options.emptied).await?;
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for QdrantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantStore")
            .field("collection", &self.inner.collection)
            .field("dimensions", &self.inner.dimensions)
            .finish_non_exhaustive()
    }
}

impl VectorStore for QdrantStore {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        for point in &points {
            point.dense.check(Stage::Ingest, self.inner.dimensions)?;
        }
        if points.is_empty() {
            return Ok(());
        }
        let request = convert::upsert(&self.inner.collection, scope, points)?;
        self.inner.client.upsert_points(request).await.map_err(convert::failed(Stage::Ingest))?;
        Ok(())
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.delete_documents(scope, &[document]).await
    }

    async fn delete_documents(&self, scope: &TenantScope, documents: &[DocumentId]) -> Result<(), Error> {
        if documents.is_empty() {
            return Ok(());
        }
        let request = convert::delete(&self.inner.collection, &Visible::documents(scope, documents));
        self.inner.client.delete_points(request).await.map_err(convert::failed(Stage::Ingest))?;
        Ok(())
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        if let QueryVector::Dense(vector) = &query.vector {
            vector.check(Stage::Retrieve, self.inner.dimensions)?;
        }
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let visible = Visible::narrowed(scope, &query.filter)?;
        self.inner.check().await?;
        self.inner.query(convert::query(&self.inner.collection, query.clone(), &visible)).await
    }

    /// One request. With equal weights the server fuses; it weighs ranks in another way than this library, so for other
    /// weights it sends both lists, which are fused here.
    async fn hybrid(&self, scope: &TenantScope, query: &HybridQuery) -> Result<Vec<FusedHit>, Error> {
        query.dense.check(Stage::Retrieve, self.inner.dimensions)?;
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let visible = Visible::narrowed(scope, &query.filter)?;
        self.inner.check().await?;
        let inner = &self.inner;
        match query.legs() {
            (dense, None) => {
                let hits = inner.query(convert::query(&inner.collection, dense, &visible)).await?;
                Ok(fuse_hits(hits, Vec::new(), query.dense_weight, query.limit))
            }
            (dense, Some(sparse)) if query.dense_weight == 0.5 => {
                let request = convert::fused(&inner.collection, [dense, sparse], &visible, query.limit);
                let mut hits = inner.query(request).await?;
                for hit in &mut hits {
                    hit.score = scaled(hit.score * query.dense_weight);
                }
                hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
                hits.truncate(query.limit);
                let fused = hits.into_iter().map(|hit| FusedHit { hit, dense: None, sparse: None });
                Ok(fused.collect())
            }
            (dense, Some(sparse)) => {
                let request = convert::queries(&inner.collection, [dense, sparse], &visible);
                let failed = convert::failed(Stage::Retrieve);
                let found = inner.client.query_batch(request).await.map_err(failed)?;
                let mut lists =
                    found.result.iter().map(|list| list.result.iter().map(convert::hit).collect());
                let mut next =
                    || lists.next().unwrap_or_else(|| Err(Error::store(Stage::Retrieve, "a missing list")));
                let (dense, sparse) = (next()?, next()?);
                Ok(fuse_hits(dense, sparse, query.dense_weight, query.limit))
            }
        }
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        self.inner.check().await?;
        let request = convert::count(&self.inner.collection, &Visible::of(scope));
        let counted = self.inner.client.count(request).await.map_err(convert::failed(Stage::Retrieve))?;
        counted
            .result
            .map(|result| result.count)
            .ok_or_else(|| Error::store(Stage::Retrieve, "a count without a result"))
    }
}

// === impl Inner ===

impl Inner {
    async fn prepare(&self, emptied: bool) -> Result<(), Error> {
        let failed = || convert::failed(Stage::Ingest);
        if emptied {
            self.client.delete_collection(&self.collection).await.map_err(failed())?;
        }
        if !self.client.collection_exists(&self.collection).await.map_err(failed())? {
            let request = convert::collection(&self.collection, self.dimensions as u64);
            self.client.create_collection(request).await.map_err(failed())?;
        }
        let info = self.info(Stage::Ingest).await?;
        if let Some(has) = dimensions(&info)
            && has != self.dimensions as u64
        {
            return Err(Error::invalid(
                Stage::Ingest,
                format!(
                    "the collection {} holds vectors of {has} numbers and the embedder makes {}: go back to the \
                     embedder that made it, or embed every document again with `rag-tower-owner reindex`",
                    self.collection, self.dimensions
                ),
            ));
        }
        for key in [TENANT, BRANCH, DOCUMENT] {
            if !indexed(&info, key) {
                let request = convert::index(&self.collection, key);
                self.client.create_field_index(request).await.map_err(failed())?;
            }
        }
        Ok(())
    }

    async fn query(&self, request: QueryPoints) -> Result<Vec<Hit>, Error> {
        let found = self.client.query(request).await.map_err(convert::failed(Stage::Retrieve))?;
        found.result.iter().map(convert::hit).collect()
    }

    async fn info(&self, stage: Stage) -> Result<CollectionInfo, Error> {
        let info = self.client.collection_info(&self.collection).await.map_err(convert::failed(stage))?;
        info.result.ok_or_else(|| Error::store(stage, "no collection information"))
    }

    /// Looks at the tenant index, unless it was seen a moment ago.
    async fn check(&self) -> Result<(), Error> {
        let seen = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.elapsed() < self.check_every) {
            return Ok(());
        }
        let info = self.info(Stage::Retrieve).await?;
        if !indexed(&info, TENANT) {
            tracing::error!(collection = %self.collection, "the collection has no tenant index: nothing is searched");
            return Err(Error::new(ErrorKind::FilterUnavailable, Stage::Retrieve));
        }
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}

fn indexed(info: &CollectionInfo, key: &str) -> bool {
    info.payload_schema.get(key).is_some_and(|schema| schema.data_type == PayloadSchemaType::Keyword as i32)
}

/// The size of the collection's dense vectors, when it says.
fn dimensions(info: &CollectionInfo) -> Option<u64> {
    match info.config.as_ref()?.params.as_ref()?.vectors_config.as_ref()?.config.as_ref()? {
        vectors_config::Config::ParamsMap(map) => map.map.get(DENSE).map(|params| params.size),
        vectors_config::Config::Params(params) => Some(params.size),
    }
}

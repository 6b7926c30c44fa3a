//! The vector index in use, whichever it is.

use rag_tower::edge::{EdgeOptions, EdgeStore, Opened};
use rag_tower::passage::DocumentId;
use rag_tower::port::{FusedHit, Hit, HybridQuery, Point, VectorQuery, VectorStore};
use rag_tower::qdrant::{QdrantOptions, QdrantStore};
use rag_tower::{Error, TenantScope};

use crate::Secret;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::models::EmbeddingModel;

/// A vector index: derived from Postgres, and rebuilt from it when the two differ.
#[derive(Debug)]
pub(crate) enum Index {
    /// The engine in this process.
    Edge(EdgeStore),
    /// A Qdrant server.
    Qdrant(QdrantStore),
}

// === impl Index ===

impl Index {
    /// The server of `QDRANT_URL`, else the engine in the data directory; as it is, or emptied.
    pub(crate) async fn open(
        config: &Config,
        data: &DataDir,
        embedder: &EmbeddingModel,
        emptied: bool,
    ) -> Result<Self, Error> {
        let Some(url) = &config.qdrant_url else {
            let mut options = EdgeOptions::new(data.vectors(), embedder.dimensions)
                .with_embedder(std::sync::Arc::clone(&embedder.name));
            if emptied {
                options = options.emptied();
            }
            return Ok(Self::Edge(EdgeStore::open(options).await?));
        };
        let mut options = QdrantOptions::new(url, embedder.dimensions);
        if let Some(key) = config.qdrant_api_key.as_ref().map(Secret::expose) {
            options = options.with_api_key(key);
        }
        if emptied {
            options = options.emptied();
        }
        Ok(Self::Qdrant(QdrantStore::connect(options).await?))
    }

    /// True when the index was made anew, so that whatever is noted about its contents is wrong.
    pub(crate) fn is_new(&self) -> bool {
        match self {
            Self::Edge(index) => index.opened() != Opened::Loaded,
            Self::Qdrant(_) => false,
        }
    }

    /// Makes everything written so far survive a crash, and lets go of the directory when this is the last user.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        match self {
            Self::Edge(index) => index.clone().close().await,
            Self::Qdrant(_) => Ok(()),
        }
    }
}

impl VectorStore for Index {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        match self {
            Self::Edge(index) => index.upsert(scope, points).await,
            Self::Qdrant(index) => index.upsert(scope, points).await,
        }
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        match self {
            Self::Edge(index) => index.delete_document(scope, document).await,
            Self::Qdrant(index) => index.delete_document(scope, document).await,
        }
    }

    async fn delete_documents(&self, scope: &TenantScope, documents: &[DocumentId]) -> Result<(), Error> {
        match self {
            Self::Edge(index) => index.delete_documents(scope, documents).await,
            Self::Qdrant(index) => index.delete_documents(scope, documents).await,
        }
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        match self {
            Self::Edge(index) => index.search(scope, query).await,
            Self::Qdrant(index) => index.search(scope, query).await,
        }
    }

    async fn hybrid(&self, scope: &TenantScope, query: &HybridQuery) -> Result<Vec<FusedHit>, Error> {
        match self {
            Self::Edge(index) => index.hybrid(scope, query).await,
            Self::Qdrant(index) => index.hybrid(scope, query).await,
        }
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        match self {
            Self::Edge(index) => index.count(scope).await,
            Self::Qdrant(index) => index.count(scope).await,
        }
    }
}

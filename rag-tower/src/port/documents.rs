//! Documents on their way in, and what is known of their words.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use crate::error::Error;
use crate::passage::{ChunkId, DocumentId};
use crate::tenant::{BranchId, TenantScope};

/// A document as it is kept.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its id: the same document again has the same id and replaces the old one.
    pub id: DocumentId,
    /// The branch it belongs to; none makes it visible to every branch.
    pub branch: Option<BranchId>,
    /// Its title.
    pub title: Arc<str>,
    /// Its file name.
    pub file_name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A piece of a document.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its id; [`ChunkId::of`] makes it.
    pub id: ChunkId,
    /// Its place in the document, from 0.
    pub seq: u32,
    /// The text.
    pub text: Arc<str>,
    /// How often each term (by id) occurs in it.
    pub terms: Vec<(u32, u32)>,
}

/// Where documents, their chunks and their words are kept: the source of truth that every index is built from.
pub trait DocumentStore: Send + Sync + 'static {
    /// Adds or replaces a document with all its chunks, and keeps the tenant's document frequencies right, in one
    /// transaction.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn put(
        &self,
        scope: &TenantScope,
        document: &Document,
        chunks: &[Chunk],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Notes that every chunk of the document is durably in the vector index.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn mark_indexed(
        &self,
        scope: &TenantScope,
        document: DocumentId,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a document, its chunks and its share of the document frequencies. True when there was one.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn delete(
        &self,
        scope: &TenantScope,
        document: DocumentId,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// The tenant's own document frequencies: no other tenant's documents can change a ranking.
pub trait TermStats: Send + Sync + 'static {
    /// How many chunks the tenant has, and how many hold each of these terms (by id).
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn frequencies(
        &self,
        scope: &TenantScope,
        terms: &[u32],
    ) -> impl Future<Output = Result<(u64, HashMap<u32, u64>), Error>> + Send;
}

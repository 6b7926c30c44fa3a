//! Vectors of many tenants in one index.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::Embedding;
use crate::error::Error;
use crate::filter::Filter;
use crate::passage::{ChunkId, DocumentId, Found, Origin};
use crate::rank::fuse_hits;
use crate::tenant::{BranchId, TenantScope};

/// A sparse vector: ascending term ids with their weights, of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SparseVector {
    /// Term ids, ascending, without repeats.
    pub indices: Vec<u32>,
    /// The weight of each.
    pub values: Vec<f32>,
}

/// One chunk in the index. The tenant is not part of it: the store stamps it from the scope. Its serde form is for stores
/// that keep points as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The chunk; [`ChunkId::of`] makes it.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// The document's branch.
    pub branch: Option<BranchId>,
    /// The dense vector.
    pub dense: Embedding,
    /// The term weights.
    pub sparse: SparseVector,
    /// The document's labels, for [`Condition::Label`](crate::filter::Condition::Label).
    pub labels: BTreeMap<String, String>,
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct VectorQuery {
    /// The vector.
    pub vector: QueryVector,
    /// What narrows it.
    pub filter: Filter,
    /// The most hits.
    pub limit: usize,
}

/// The vector to look for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum QueryVector {
    /// By meaning.
    Dense(Embedding),
    /// By words.
    Sparse(SparseVector),
}

/// One hit: the text is fetched elsewhere, from where it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: ChunkId,
    /// The document, as the index has it.
    pub document: DocumentId,
    /// Whose it is, as the index has it.
    pub origin: Origin,
    /// Cosine similarity or dot product, higher is better.
    pub score: f32,
}

/// A search by meaning and by words at once.
#[derive(Clone, Debug)]
pub struct HybridQuery {
    /// What is meant.
    pub dense: Embedding,
    /// The words; without any, the search is by meaning alone.
    pub sparse: SparseVector,
    /// The share of the meaning in the fusion, from 0 to 1; the words have the rest.
    pub dense_weight: f32,
    /// What narrows it.
    pub filter: Filter,
    /// The most points that each of the two gives to the fusion.
    pub candidates: usize,
    /// The most hits.
    pub limit: usize,
}

/// One hit of a [`HybridQuery`].
#[derive(Clone, Debug, PartialEq)]
pub struct FusedHit {
    /// The hit; its score is 0 to 1, and 1 when both searches have it first.
    pub hit: Hit,
    /// How the search by meaning found it, where the store knows.
    pub dense: Option<Found>,
    /// How the search by words found it, where the store knows.
    pub sparse: Option<Found>,
}

/// A vector index shared by all tenants: what a backend implements. Every method filters by the scope's tenant, and by
/// its branches, inside the index; a filter that cannot be applied is an error, never a search without it.
pub trait VectorStore: Send + Sync + 'static {
    /// Adds or replaces points of the scope's tenant.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable), or [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// when a vector has the wrong dimension. A failed call may have written some points; calling again is safe.
    fn upsert(
        &self,
        scope: &TenantScope,
        points: Vec<Point>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a document's points, and reports nothing when there are none.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn delete_document(
        &self,
        scope: &TenantScope,
        document: DocumentId,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// As [`delete_document`](Self::delete_document) for several, in one call where the store can.
    ///
    /// # Errors
    /// As [`delete_document`](Self::delete_document).
    fn delete_documents(
        &self,
        scope: &TenantScope,
        documents: &[DocumentId],
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            for document in documents {
                self.delete_document(scope, *document).await?;
            }
            Ok(())
        }
    }

    /// The nearest points that the scope may see, best first.
    ///
    /// # Errors
    /// [`FilterUnavailable`](crate::ErrorKind::FilterUnavailable) when the tenant filter cannot be applied,
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable) otherwise.
    fn search(
        &self,
        scope: &TenantScope,
        query: &VectorQuery,
    ) -> impl Future<Output = Result<Vec<Hit>, Error>> + Send;

    /// The nearest points by meaning and by words, fused by reciprocal rank: a point scores
    /// `61 · Σ weight / (60 + rank)` over the searches that found it. Best first; equal scores by chunk, so that every
    /// store gives one order. A store that can do this in one call does; otherwise both searches run at once.
    ///
    /// # Errors
    /// As [`search`](Self::search): of two searches in one store, neither stands for the other.
    fn hybrid(
        &self,
        scope: &TenantScope,
        query: &HybridQuery,
    ) -> impl Future<Output = Result<Vec<FusedHit>, Error>> + Send {
        async move {
            let (dense, sparse) = query.legs();
            let dense = self.search(scope, &dense);
            let sparse = async {
                match &sparse {
                    Some(sparse) => self.search(scope, sparse).await,
                    None => Ok(Vec::new()),
                }
            };
            let (dense, sparse) = try_join(dense, sparse).await?;
            Ok(fuse_hits(dense, sparse, query.dense_weight, query.limit))
        }
    }

    /// How many points the scope may see.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn count(&self, scope: &TenantScope) -> impl Future<Output = Result<u64, Error>> + Send;
}

// === impl SparseVector ===

impl SparseVector {
    /// True without terms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

// === impl HybridQuery ===

impl HybridQuery {
    /// The two searches that it is made of; the second only when there are words.
    pub(crate) fn legs(&self) -> (VectorQuery, Option<VectorQuery>) {
        let leg = |vector| VectorQuery {
            vector,
            filter: self.filter.clone(),
            limit: if self.limit == 0 { 0 } else { self.candidates.max(self.limit) },
        };
        let sparse = (!self.sparse.is_empty()).then(|| leg(QueryVector::Sparse(self.sparse.clone())));
        (leg(QueryVector::Dense(self.dense.clone())), sparse)
    }
}

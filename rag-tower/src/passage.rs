//! What was found: passages, where they come from, and the proof that the scope may see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Stage};
use crate::tenant::{BranchId, CorpusId, TenantId, TenantScope, id};

id! {
    /// Identifies a document.
    DocumentId
}
id! {
    /// Identifies a chunk of a document, and its point in every vector index.
    ChunkId
}

/// Whose a passage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// A tenant's own document; one without a branch is visible to every branch.
    Tenant {
        /// The tenant.
        tenant: TenantId,
        /// The branch, when the document belongs to one.
        branch: Option<BranchId>,
    },
    /// A corpus that several tenants may read.
    Shared(CorpusId),
}

/// One retrieved piece of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Its chunk.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// Its place in the document, from 0.
    pub seq: u32,
    /// Whose it is.
    pub origin: Origin,
    /// The document's title.
    pub title: Arc<str>,
    /// The document's file name.
    pub file_name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
    /// How well it fits, higher is better. The scale is the last scorer's (cosine, BM25, fused rank, reranker).
    pub score: f32,
    /// Where it was found and with what score each time: source name to (rank from 1, raw score).
    pub found: BTreeMap<Arc<str>, Found>,
}

/// How one source found a passage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Rank from 1.
    pub rank: u32,
    /// The source's own score.
    pub score: f32,
}

/// Passages that the one door has let through: each was compared with the scope that asked. Cloning shares them; a
/// clone that is changed gets its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passages(Arc<Vec<Passage>>);

/// A cited passage as callers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The number that the answer cites, from 1.
    pub n: u32,
    /// The document.
    pub doc_id: DocumentId,
    /// The document's file name.
    pub file_name: Arc<str>,
    /// The document's title.
    pub title: Arc<str>,
    /// The chunk.
    pub chunk: ChunkId,
    /// The beginning of the text.
    pub snippet: Arc<str>,
    /// The passage's score.
    pub score: f32,
}

// === impl DocumentId ===

impl DocumentId {
    /// The id of a tenant's document with this name: UUIDv5 of the name in the tenant, so that the same file again is
    /// the same document.
    #[must_use]
    pub fn named(tenant: TenantId, name: &str) -> Self {
        Self::new(Uuid::new_v5(&tenant.as_uuid(), format!("document:{name}").as_bytes()))
    }
}

// === impl ChunkId ===

impl ChunkId {
    /// The id of a document's n-th chunk: UUIDv5 over tenant, document and number, so that no tenant can name, and
    /// so overwrite, a point of another.
    #[must_use]
    pub fn of(tenant: TenantId, document: DocumentId, seq: u32) -> Self {
        let mut name = [0_u8; 20];
        name[..16].copy_from_slice(document.as_uuid().as_bytes());
        name[16..].copy_from_slice(&seq.to_be_bytes());
        Self::new(Uuid::new_v5(&tenant.as_uuid(), &name))
    }
}

// === impl Passages ===

impl Passages {
    /// The one door: lets passages in when the scope admits each of them.
    ///
    /// # Errors
    /// [`ErrorKind::Isolation`] when any passage is foreign. Nothing of the set is returned then: a store that
    /// returned one foreign passage is not to be trusted with the others. Each foreign passage counts in
    /// `rag_isolation_violations_total`.
    pub fn check(scope: &TenantScope, passages: Vec<Passage>) -> Result<Self, Error> {
        let passages = Self(Arc::new(passages));
        passages.check_again(scope)?;
        Ok(passages)
    }

    /// Compares each passage with the scope once more, for a set that foreign code has had in its hands.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_again(&self, scope: &TenantScope) -> Result<(), Error> {
        let foreign = self.0.iter().filter(|passage| !scope.admits(passage.origin)).count();
        if foreign == 0 {
            return Ok(());
        }
        metrics::counter!("rag_isolation_violations_total", "layer" => "retrieve").increment(foreign as u64);
        tracing::error!(foreign, tenant = %scope.tenant(), "a store returned passages of another tenant");
        Err(Error::new(ErrorKind::Isolation, Stage::Retrieve))
    }

    /// Keeps those that satisfy the predicate.
    pub fn retain(&mut self, keep: impl FnMut(&Passage) -> bool) {
        Arc::make_mut(&mut self.0).retain(keep);
    }

    /// Keeps the first `n`.
    pub fn truncate(&mut self, n: usize) {
        if n < self.0.len() {
            Arc::make_mut(&mut self.0).truncate(n);
        }
    }

    /// Keeps the passages at these places, in this order; a place that there is not is passed over.
    pub fn select(&mut self, places: &[usize]) {
        let chosen = places.iter().filter_map(|place| self.0.get(*place).cloned()).collect();
        self.0 = Arc::new(chosen);
    }

    /// Scores each passage anew and puts the best first; equal scores keep their order.
    pub fn rescore(&mut self, mut score: impl FnMut(&Passage) -> f32) {
        let passages = Arc::make_mut(&mut self.0);
        for passage in passages.iter_mut() {
            passage.score = score(passage);
        }
        passages.sort_by(|a, b| b.score.total_cmp(&a.score));
    }

    /// The passages without the proof.
    #[must_use]
    pub fn into_vec(self) -> Vec<Passage> {
        Arc::unwrap_or_clone(self.0)
    }

    /// The passages, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[Passage] {
        &self.0
    }
}

impl std::ops::Deref for Passages {
    type Target = [Passage];

    fn deref(&self) -> &[Passage] {
        &self.0
    }
}

// === impl Source ===

impl Source {
    /// The source of a passage, cited under `n`. The snippet is the text's first 240 characters.
    #[must_use]
    pub fn new(n: u32, passage: &Passage) -> Self {
        let text = &passage.text;
        let mut rest = text.chars();
        rest.nth(239);
        let snippet = match text.len() - rest.as_str().len() {
            end if end < text.len() => Arc::from(format!("{}…", &text[..end])),
            _ => Arc::clone(text),
        };
        Self {
            n,
            doc_id: passage.document,
            file_name: Arc::clone(&passage.file_name),
            title: Arc::clone(&passage.title),
            chunk: passage.chunk,
            snippet,
            score: passage.score,
        }
    }
}

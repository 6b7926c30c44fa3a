//! Documents kept in memory, for tests, examples and throw-away indexes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{ChunkId, DocumentId, Found, Origin, Passage};
use crate::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, ReadPassages, TermStats};
use crate::tenant::{TenantId, TenantScope};

/// A [`DocumentStore`], [`ChunkStore`] and [`TermStats`] in memory: bounded, and gone with the process.
///
/// Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryDocuments {
    most: usize,
    tenants: Arc<Mutex<HashMap<TenantId, Corpus>>>,
}

/// One tenant's documents. Tenants are apart from the root: no method can look into two of them.
#[derive(Debug, Default)]
struct Corpus {
    documents: HashMap<DocumentId, Kept>,
    chunks: HashMap<ChunkId, (DocumentId, Chunk)>,
    frequencies: HashMap<u32, u64>,
}

#[derive(Debug)]
struct Kept {
    document: Document,
    chunks: Vec<ChunkId>,
    indexed: bool,
}

// === impl MemoryDocuments ===

impl MemoryDocuments {
    /// Room for `most` chunks of all tenants together.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, tenants: Arc::default() }
    }

    /// The tenant's documents that are not marked as indexed, with their chunks in order: what
    /// [`Ingestor::reindex`](super::Ingestor::reindex) mends.
    #[must_use]
    pub fn behind(&self, scope: &TenantScope) -> Vec<(Document, Vec<Chunk>)> {
        let tenants = self.lock();
        let Some(corpus) = tenants.get(&scope.tenant()) else { return Vec::new() };
        corpus
            .documents
            .values()
            .filter(|kept| !kept.indexed)
            .map(|kept| {
                let chunks = kept.chunks.iter().filter_map(|id| corpus.chunks.get(id));
                (kept.document.clone(), chunks.map(|(_, chunk)| chunk.clone()).collect())
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Corpus>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DocumentStore for MemoryDocuments {
    async fn put(&self, scope: &TenantScope, document: &Document, chunks: &[Chunk]) -> Result<(), Error> {
        let mut tenants = self.lock();
        let others: usize = tenants.values().map(|corpus| corpus.chunks.len()).sum();
        let corpus = tenants.entry(scope.tenant()).or_default();
        let replaced = corpus.documents.get(&document.id).map_or(0, |kept| kept.chunks.len());
        if others - replaced + chunks.len() > self.most {
            return Err(Error::store(Stage::Ingest, format!("more than {} chunks in memory", self.most)));
        }
        corpus.remove(document.id);
        corpus.insert(document, chunks);
        Ok(())
    }

    async fn mark_indexed(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        if let Some(kept) =
            self.lock().get_mut(&scope.tenant()).and_then(|corpus| corpus.documents.get_mut(&document))
        {
            kept.indexed = true;
        }
        Ok(())
    }

    async fn delete(&self, scope: &TenantScope, document: DocumentId) -> Result<bool, Error> {
        Ok(self.lock().get_mut(&scope.tenant()).is_some_and(|corpus| corpus.remove(document)))
    }
}

impl ChunkStore for MemoryDocuments {
    async fn passages(
        &self,
        scope: &TenantScope,
        source: &Arc<str>,
        hits: Vec<Hit>,
    ) -> Result<ReadPassages, Error> {
        if hits.iter().any(|hit| !scope.admits(hit.origin)) {
            return Err(Error::new(ErrorKind::Isolation, Stage::Retrieve));
        }
        let tenants = self.lock();
        let Some(corpus) = tenants.get(&scope.tenant()) else { return Ok(ReadPassages::default()) };
        let found = (1_u32..).zip(hits).filter_map(|(rank, hit)| {
            let (id, chunk) = corpus.chunks.get(&hit.chunk)?;
            let document = &corpus.documents.get(id)?.document;
            Some(Passage {
                chunk: chunk.id,
                document: document.id,
                seq: chunk.seq,
                origin: Origin::Tenant { tenant: scope.tenant(), branch: document.branch },
                title: Arc::clone(&document.title),
                file_name: Arc::clone(&document.file_name),
                text: Arc::clone(&chunk.text),
                score: hit.score,
                found: BTreeMap::from([(Arc::clone(source), Found { rank, score: hit.score })]),
            })
        });
        Ok(found.collect::<Vec<_>>().into())
    }
}

impl TermStats for MemoryDocuments {
    async fn frequencies(
        &self,
        scope: &TenantScope,
        terms: &[u32],
    ) -> Result<(u64, HashMap<u32, u64>), Error> {
        let tenants = self.lock();
        let Some(corpus) = tenants.get(&scope.tenant()) else { return Ok((0, HashMap::new())) };
        let known = terms.iter().filter_map(|term| Some((*term, *corpus.frequencies.get(term)?)));
        Ok((corpus.chunks.len() as u64, known.collect()))
    }
}

// === impl Corpus ===

impl Corpus {
    fn insert(&mut self, document: &Document, chunks: &[Chunk]) {
        for chunk in chunks {
            for (term, _) in &chunk.terms {
                *self.frequencies.entry(*term).or_default() += 1;
            }
            self.chunks.insert(chunk.id, (document.id, chunk.clone()));
        }
        let chunks = chunks.iter().map(|chunk| chunk.id).collect();
        self.documents.insert(document.id, Kept { document: document.clone(), chunks, indexed: false });
    }

    fn remove(&mut self, document: DocumentId) -> bool {
        let Some(kept) = self.documents.remove(&document) else { return false };
        for id in kept.chunks {
            let Some((_, chunk)) = self.chunks.remove(&id) else { continue };
            for (term, _) in chunk.terms {
                if let Some(count) = self.frequencies.get_mut(&term) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.frequencies.remove(&term);
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn document(n: u128) -> Document {
        Document {
            id: DocumentId::new(Uuid::from_u128(n)),
            branch: None,
            title: "t".into(),
            file_name: "f".into(),
            labels: BTreeMap::new(),
        }
    }

    fn chunk(scope: &TenantScope, document: &Document, seq: u32) -> Chunk {
        Chunk {
            id: ChunkId::of(scope.tenant(), document.id, seq),
            seq,
            text: "text".into(),
            terms: vec![(7, 2), (9, 1)],
        }
    }

    #[tokio::test]
    async fn t14_what_is_in_no_index_is_known_of_the_tenant_alone() {
        let store = MemoryDocuments::new(100);
        let [a, b] = ["a", "b"].map(crate::test_util::scope);
        let document = document(1);
        store.put(&a, &document, &[chunk(&a, &document, 0), chunk(&a, &document, 1)]).await.unwrap();
        assert_eq!((store.behind(&a)[0].1.len(), store.behind(&b).len()), (2, 0));
        store.mark_indexed(&b, document.id).await.unwrap();
        assert_eq!(store.behind(&a).len(), 1);
        store.mark_indexed(&a, document.id).await.unwrap();
        assert!(store.behind(&a).is_empty());
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let store = MemoryDocuments::new(1);
        let scope = crate::test_util::scope("a");
        let (first, second) = (document(1), document(2));
        store.put(&scope, &first, &[chunk(&scope, &first, 0)]).await.unwrap();
        store.put(&scope, &first, &[chunk(&scope, &first, 0)]).await.unwrap();
        let full = store.put(&scope, &second, &[chunk(&scope, &second, 0)]).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StoreUnavailable);
    }
}

//! Hits in, passages with their text out, read once for all sources together.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use tower_service::Service;

use super::query::fetch_part;
use super::{Query, Retrieve, resolve};
use crate::error::Error;
use crate::passage::{Found, Passage};
use crate::port::{ChunkStore, Hit};
use crate::stage::{ResponseFuture, take_ready};
use crate::tenant::TenantScope;

/// A chunk store that reads nothing: a source over it returns what the index said, without title and text, for
/// [`ReadText`] to read after several sources have been fused.
///
/// What it returns repeats the index's own word on origins and is no witness: never search with it alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct HitsOnly;

/// Reads the text behind what a source over [`HitsOnly`] found: passages without text in, passages out. One read serves
/// every source inside, so a search by meaning and by words costs as many round trips as either.
///
/// - **Order:** outside what fuses the sources.
/// - **Isolation:** the chunk store says whose each passage is from its own rows, as in a source of its own.
/// - **Readiness:** that of the source. **Cancellation:** dropping the future drops the search or the read.
/// - **Panics:** never of its own.
///
/// ```
/// # use std::sync::Arc;
/// # use rag_tower::port::{ChunkStore, Embedding, TermStats, VectorStore};
/// # use rag_tower::retrieve::{DenseSource, HitsOnly, Hybrid, ReadText, Retrieve, SparseSource};
/// # fn both<D>(vectors: Arc<impl VectorStore>, documents: Arc<D>) -> impl Retrieve<Embedding>
/// # where D: ChunkStore + TermStats {
/// let hits = Arc::new(HitsOnly);
/// let dense = DenseSource::new(Arc::clone(&vectors), Arc::clone(&hits));
/// let sparse = SparseSource::new(vectors, Arc::clone(&documents), hits);
/// ReadText::new(Hybrid::new(dense, sparse), documents)
/// # }
/// ```
#[derive(Debug)]
pub struct ReadText<R, C> {
    source: R,
    chunks: Arc<C>,
}

// === impl HitsOnly ===

impl ChunkStore for HitsOnly {
    async fn passages(
        &self,
        _: &TenantScope,
        source: &Arc<str>,
        hits: Vec<Hit>,
    ) -> Result<Vec<Passage>, Error> {
        static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
        let passage = |(rank, hit): (u32, Hit)| Passage {
            chunk: hit.chunk,
            document: hit.document,
            seq: 0,
            origin: hit.origin,
            title: Arc::clone(&NOTHING),
            file_name: Arc::clone(&NOTHING),
            text: Arc::clone(&NOTHING),
            score: hit.score,
            found: [(Arc::clone(source), Found { rank, score: hit.score })].into(),
        };
        Ok((1..).zip(hits).map(passage).collect())
    }
}

// === impl ReadText ===

impl<R, C> ReadText<R, C> {
    /// Reads the text of what `source` finds from `chunks`.
    pub fn new(source: R, chunks: Arc<C>) -> Self {
        Self { source, chunks }
    }
}

impl<R: Clone, C> Clone for ReadText<R, C> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), chunks: Arc::clone(&self.chunks) }
    }
}

impl<V, R, C> Service<Query<V>> for ReadText<R, C>
where
    V: Send + 'static,
    R: Retrieve<V>,
    C: ChunkStore,
{
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.source.poll_ready(cx)
    }

    fn call(&mut self, query: Query<V>) -> Self::Future {
        let source = take_ready(&mut self.source);
        let chunks = Arc::clone(&self.chunks);
        ResponseFuture::new(async move {
            let scope = query.scope.clone();
            let mut found = HashMap::new();
            let mut hits = Vec::new();
            for passage in fetch_part(source, query).await?.into_vec() {
                let Passage { chunk, document, origin, score, .. } = passage;
                hits.push(Hit { chunk, document, origin, score });
                found.insert(chunk, passage.found);
            }
            static NAME: LazyLock<Arc<str>> = LazyLock::new(|| "text".into());
            let mut passages = resolve(&*chunks, &scope, &NAME, hits).await?;
            for passage in &mut passages {
                passage.found = found.remove(&passage.chunk).unwrap_or_default();
            }
            Ok(passages)
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::{DenseSource, EmbedQueryLayer, Hybrid, MemoryVectors, SparseSource, fetch};
    use super::*;
    use crate::embed::LocalEmbedder;
    use crate::error::ErrorKind;
    use crate::ingest::{Ingest, Ingestor, MemoryDocuments};
    use crate::passage::Passages;
    use crate::port::{DocumentStore, Embedding};
    use crate::stage::testing;

    struct World {
        documents: Arc<MemoryDocuments>,
        vectors: Arc<MemoryVectors>,
    }

    impl World {
        async fn with(texts: &[&str]) -> Self {
            let (documents, vectors) =
                (Arc::new(MemoryDocuments::new(100)), Arc::new(MemoryVectors::new(384, 100)));
            let ingestor = Ingestor::new(LocalEmbedder::new(), Arc::clone(&documents), Arc::clone(&vectors));
            for text in texts {
                let ingest = Ingest::new(testing::scope("a"), format!("{text}.txt"), (*text).to_owned());
                ingestor.clone().oneshot(ingest).await.unwrap();
            }
            Self { documents, vectors }
        }

        fn both<C: ChunkStore>(&self, chunks: &Arc<C>) -> impl Retrieve<Embedding> + use<C> {
            let dense = DenseSource::new(Arc::clone(&self.vectors), Arc::clone(chunks));
            Hybrid::new(
                dense,
                SparseSource::new(Arc::clone(&self.vectors), Arc::clone(&self.documents), Arc::clone(chunks)),
            )
        }
    }

    async fn search(source: impl Retrieve<Embedding>, limit: usize) -> Passages {
        let source = tower_layer::Layer::layer(&EmbedQueryLayer::new(LocalEmbedder::new()), source);
        fetch(source, Query::of(&testing::ask("the fee of a course"), limit)).await.unwrap()
    }

    const TEXTS: [&str; 4] = ["the fee of a course is low", "a course of tea", "the fee", "rain in may"];

    #[tokio::test]
    async fn reading_once_finds_what_reading_in_each_source_finds() {
        let world = World::with(&TEXTS).await;
        for limit in 1..5 {
            let once = ReadText::new(world.both(&Arc::new(HitsOnly)), Arc::clone(&world.documents));
            let each = world.both(&world.documents);
            let (once, each) = (search(once, limit).await, search(each, limit).await);
            assert_eq!(once, each);
            assert_eq!(once.len(), limit);
            assert_eq!((&*once[0].text, once[0].found.len()), (TEXTS[0], 2));
        }
    }

    #[tokio::test]
    async fn what_was_deleted_meanwhile_is_left_out() {
        let world = World::with(&TEXTS).await;
        let once = || ReadText::new(world.both(&Arc::new(HitsOnly)), Arc::clone(&world.documents));
        let first = search(once(), 4).await[0].clone();
        assert!(world.documents.delete(&testing::scope("a"), first.document).await.unwrap());
        let left = search(once(), 4).await;
        assert_eq!(left.len(), 3);
        assert!(left.iter().all(|passage| passage.chunk != first.chunk && !passage.text.is_empty()));
    }

    #[tokio::test]
    async fn a_foreign_hit_fails_before_its_text_is_read() {
        /// A store that must not be asked.
        struct Never;
        impl ChunkStore for Never {
            async fn passages(
                &self,
                _: &TenantScope,
                _: &Arc<str>,
                _: Vec<Hit>,
            ) -> Result<Vec<Passage>, Error> {
                panic!("the text of a foreign hit was read");
            }
        }
        let foreign = testing::source::<()>(vec![testing::passage("b", "", 1.0)]);
        let query = Query::of(&testing::ask("q"), 3);
        let error = fetch(ReadText::new(foreign, Arc::new(Never)), query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Isolation);
    }
}

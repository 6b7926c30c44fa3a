//! Vectors in the embedded engine, and in a Qdrant server behind its real protocol: several interleavings at once.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use rag_tower::edge::{EdgeOptions, EdgeStore};
use rag_tower::ingest::MemoryDocuments;
use rag_tower::memory::InMemoryStore;
use rag_tower::port::{ChunkStore, DocumentStore, MemoryStore, TermStats, VectorStore};
use rag_tower::qdrant::{QdrantOptions, QdrantStore};
use rag_tower_tests::qdrant::Qdrant;

use super::client::tasks;
use super::world::{DIMENSIONS, World};
use super::{first_seed, how_many};

/// Interleavings under way at once.
const AT_ONCE: usize = 4;

/// Runs the interleavings of the seeds over one world, a few at once.
pub async fn run<D, V, M>(name: &str, world: World<D, V, M>, usually: u64)
where
    D: DocumentStore + ChunkStore + TermStats,
    V: VectorStore,
    M: MemoryStore,
{
    let (world, first, count) = (&world, first_seed(), how_many(usually));
    stream::iter(first..first + count)
        .map(|seed| join_all(tasks(world, seed)))
        .buffer_unordered(AT_ONCE)
        .for_each(|_| async {})
        .await;
    world.seen.report(name, count, world.beside.is_some());
}

fn over<V: VectorStore>(vectors: V) -> World<MemoryDocuments, V, InMemoryStore> {
    let (documents, memory) = (MemoryDocuments::new(10_000), InMemoryStore::new(10_000));
    World::new(Arc::new(documents), Arc::new(vectors), Arc::new(memory))
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_t14_tenants_in_the_embedded_engine_share_no_word() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        EdgeStore::open(EdgeOptions::new(dir.path(), DIMENSIONS).with_embedder("interleavings")).await;
    run("embedded engine", over(store.unwrap()), 60).await;
}

#[tokio::test]
async fn t12_t14_tenants_in_a_qdrant_server_share_no_word() {
    let server = Qdrant::start().await;
    let store = QdrantStore::connect(QdrantOptions::new(server.url(), DIMENSIONS)).await.unwrap();
    run("Qdrant's protocol", over(store), 60).await;
}

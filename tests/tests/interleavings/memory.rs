//! Everything in memory: a seed is one order of events, and a world of its own.

use std::sync::Arc;

use rag_tower::ingest::MemoryDocuments;
use rag_tower::memory::InMemoryStore;
use rag_tower::retrieve::MemoryVectors;

use super::chance::{Chance, by_chance};
use super::client::tasks;
use super::world::{DIMENSIONS, Seen, World};
use super::{first_seed, how_many};

#[tokio::test]
async fn t14_t16_t30_tenants_in_memory_share_no_word() {
    let (first, count) = (first_seed(), how_many(500));
    let mut seen = Seen::default();
    for seed in first..first + count {
        let mut world = World::new(
            Arc::new(MemoryDocuments::new(1_000)),
            Arc::new(MemoryVectors::new(DIMENSIONS, 1_000)),
            Arc::new(InMemoryStore::new(1_000)),
        );
        world.seen = seen;
        by_chance(tasks(&world, seed), Chance::new(seed, 0)).await;
        seen = world.seen;
    }
    seen.report("in memory", count, false);
}

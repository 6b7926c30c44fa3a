//! Random interleavings of tenants who do everything at once: each word that comes out of anything is the tenant's own.
//!
//! An interleaving has three tenants with two clients each. One client takes documents in, replaces and removes them, asks,
//! asks again and talks on; the other asks at the same time. Both also try what is not theirs: another tenant's session and
//! document. Every text carries a word that says whose it is (`words.rs`), every answer repeats all the words that reached
//! the model, and a list of what each tenant has (`client.rs`) says which are right.
//!
//! How many, and where to begin, is set from outside; a failure names both:
//!
//! ```sh
//! RAG_TOWER_INTERLEAVINGS=10000 cargo test -p rag-tower-tests --test interleavings -- --nocapture
//! RAG_TOWER_SEED=17 RAG_TOWER_INTERLEAVINGS=1 cargo test -p rag-tower-tests --test interleavings
//! ```
//!
//! In memory a seed is one order of events, the same in every run. Over an engine or Postgres the seed decides what each
//! client does, and the engine's own time decides in which order.

mod chance;
mod client;
mod engines;
mod memory;
mod postgres;
mod words;
mod world;

/// How many interleavings: what is set from outside, or as many as take a few seconds.
fn how_many(usually: u64) -> u64 {
    number("RAG_TOWER_INTERLEAVINGS").unwrap_or(usually)
}

/// The first seed.
fn first_seed() -> u64 {
    number("RAG_TOWER_SEED").unwrap_or(0)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

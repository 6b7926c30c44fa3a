//! The twin of the case that fails: any stage says what it needs, and gets it from the one before.

use rag_tower::Pipeline;
use rag_tower::port::{Embedder, Embedding};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, RetrieveLayer};

fn begin<E: Embedder, R: Retrieve<Embedding>>(embedder: E, source: R) {
    let _ = Pipeline::new().stage(EmbedLayer::new(embedder)).stage(RetrieveLayer::new(source));
}

fn main() {}

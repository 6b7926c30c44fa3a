//! The twin of the case that fails: a stage of one's own stands where there is what it takes: passages only after retrieval.

use rag_tower::Pipeline;
use rag_tower::port::{Embedder, Embedding};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, RetrieveLayer, Retrieved, StageLayer};

/// Leaves out what is old.
struct RecentLayer;

impl StageLayer for RecentLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

fn begin<E: Embedder, R: Retrieve<Embedding>>(embedder: E, source: R) {
    let retrieved = Pipeline::new().embed(EmbedLayer::new(embedder)).retrieve(RetrieveLayer::new(source));
    let _ = retrieved.stage(RecentLayer);
}

fn main() {}

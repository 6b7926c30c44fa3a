//! A stage of one's own stands where there is what it takes: passages only after retrieval.

use rag_tower::Pipeline;
use rag_tower::port::Embedder;
use rag_tower::stage::{EmbedLayer, Retrieved, StageLayer};

/// Leaves out what is old.
struct RecentLayer;

impl StageLayer for RecentLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

fn begin<E: Embedder>(embedder: E) {
    let _ = Pipeline::new().embed(EmbedLayer::new(embedder)).stage(RecentLayer);
}

fn main() {}

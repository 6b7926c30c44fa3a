//! A stage of one's own stands where what it takes is there.

use rag_tower::Pipeline;
use rag_tower::port::{Embedder, Embedding};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, RetrieveLayer, Retrieved, StageLayer};

struct Freshness;

impl StageLayer for Freshness {
    type In = Retrieved;
    type Out = Retrieved;
}

fn begin<E: Embedder, R: Retrieve<Embedding>>(embedder: E, source: R) {
    let _ = Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .stage(Freshness)
        .retrieve(RetrieveLayer::new(source));
}

fn main() {}

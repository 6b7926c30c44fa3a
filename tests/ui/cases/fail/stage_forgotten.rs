//! A model is not asked before there is a prompt.

use rag_tower::port::{Embedder, Embedding, Generator};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, Generate, RetrieveLayer};
use rag_tower::{BoxAskService, Pipeline};

fn assemble<E: Embedder, R: Retrieve<Embedding>, G: Generator>(
    embedder: E,
    source: R,
    model: G,
) -> BoxAskService {
    Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .retrieve(RetrieveLayer::new(source))
        .boxed(Generate::new(model))
}

fn main() {}

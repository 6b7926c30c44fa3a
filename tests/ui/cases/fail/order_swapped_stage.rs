//! Any stage says what it needs, and gets it from the one before.

use rag_tower::Pipeline;
use rag_tower::port::Embedding;
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::RetrieveLayer;

fn begin<R: Retrieve<Embedding>>(source: R) {
    let _ = Pipeline::new().stage(RetrieveLayer::new(source));
}

fn main() {}

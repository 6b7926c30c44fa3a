//! A vector store is searched for a scope.

use rag_tower::port::{VectorQuery, VectorStore};

async fn search(store: impl VectorStore, query: VectorQuery) {
    let _ = store.search(&query).await;
}

fn main() {}

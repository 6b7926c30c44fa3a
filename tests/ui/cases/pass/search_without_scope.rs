//! The twin of the case that fails: a vector store is searched for a scope.

use rag_tower::TenantScope;
use rag_tower::port::{VectorQuery, VectorStore};

async fn search(store: impl VectorStore, scope: &TenantScope, query: VectorQuery) {
    let _ = store.search(scope, &query).await;
}

fn main() {}

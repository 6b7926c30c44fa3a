//! The twin of the case that fails: documents are kept, read and counted for a scope, not for a tenant's name.

use std::sync::Arc;

use rag_tower::TenantScope;
use rag_tower::passage::DocumentId;
use rag_tower::port::{ChunkStore, Document, DocumentStore, TermStats};

async fn all(store: impl DocumentStore + ChunkStore + TermStats, scope: &TenantScope, document: Document) {
    let _ = store.put(scope, &document, &[]).await;
    let _ = store.delete(scope, DocumentId::new(scope.tenant().as_uuid())).await;
    let _ = store.passages(scope, &Arc::from("dense"), Vec::new()).await;
    let _ = store.frequencies(scope, &[1]).await;
}

fn main() {}

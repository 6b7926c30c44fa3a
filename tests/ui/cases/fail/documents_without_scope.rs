//! Documents are kept, read and counted for a scope, not for a tenant's name.

use std::sync::Arc;

use rag_tower::TenantId;
use rag_tower::passage::DocumentId;
use rag_tower::port::{ChunkStore, Document, DocumentStore, TermStats};

async fn all(store: impl DocumentStore + ChunkStore + TermStats, tenant: TenantId, document: Document) {
    let _ = store.put(&tenant, &document, &[]).await;
    let _ = store.delete(&tenant, DocumentId::new(tenant.as_uuid())).await;
    let _ = store.passages(&tenant, &Arc::from("dense"), Vec::new()).await;
    let _ = store.frequencies(&tenant, &[1]).await;
}

fn main() {}

//! A conversation is loaded for a scope, not for a tenant's name.

use rag_tower::port::MemoryStore;
use rag_tower::{SessionId, TenantId};

async fn load(store: impl MemoryStore, tenant: TenantId, session: SessionId) {
    let _ = store.load(&tenant, session).await;
}

fn main() {}

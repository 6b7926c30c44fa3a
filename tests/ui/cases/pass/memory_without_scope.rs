//! The twin of the case that fails: a conversation is loaded for a scope, not for a tenant's name.

use rag_tower::port::MemoryStore;
use rag_tower::{SessionId, TenantScope};

async fn load(store: impl MemoryStore, scope: &TenantScope, session: SessionId) {
    let _ = store.load(scope, session).await;
}

fn main() {}

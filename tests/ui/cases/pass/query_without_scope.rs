//! The twin of the case that fails: a search cannot be put together without a scope.

use rag_tower::retrieve::Query;
use rag_tower::{Filter, TenantScope, TraceHandle};

fn query(scope: TenantScope) -> Query {
    Query {
        scope,
        trace: TraceHandle::new(),
        text: "fees".into(),
        vector: (),
        filter: Filter::default(),
        limit: 6,
    }
}

fn main() {}

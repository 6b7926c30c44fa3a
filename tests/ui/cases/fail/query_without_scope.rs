//! A search cannot be put together without a scope.

use rag_tower::retrieve::Query;
use rag_tower::{Filter, TraceHandle};

fn query() -> Query {
    Query { trace: TraceHandle::new(), text: "fees".into(), vector: (), filter: Filter::default(), limit: 6 }
}

fn main() {}

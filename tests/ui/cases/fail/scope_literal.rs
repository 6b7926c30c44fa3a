//! A scope cannot be written down.

use rag_tower::{Grant, TenantScope};

fn scope(grant: Grant) -> TenantScope {
    TenantScope(grant.into())
}

fn main() {}

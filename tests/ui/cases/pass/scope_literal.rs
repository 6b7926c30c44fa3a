//! The twin of the case that fails: a scope cannot be written down.

use rag_tower::{Grant, TenantAuthority, TenantScope};

fn scope(authority: &TenantAuthority, grant: Grant) -> TenantScope {
    authority.grant(grant)
}

fn main() {}

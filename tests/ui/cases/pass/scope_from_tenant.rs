//! The twin of the case that fails: the name of a tenant does not turn into a scope.

use rag_tower::{Grant, TenantId};

fn grant(tenant: TenantId) -> Grant {
    tenant.into()
}

fn main() {}

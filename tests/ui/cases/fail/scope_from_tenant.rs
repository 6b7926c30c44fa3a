//! The name of a tenant does not turn into a scope.

use rag_tower::{TenantId, TenantScope};

fn scope(tenant: TenantId) -> TenantScope {
    tenant.into()
}

fn main() {}

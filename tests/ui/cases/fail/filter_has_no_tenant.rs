//! A filter cannot name a tenant.

use rag_tower::{Filter, TenantId};

fn widen(mut filter: Filter, tenant: TenantId) {
    filter.tenant = tenant;
}

fn main() {}

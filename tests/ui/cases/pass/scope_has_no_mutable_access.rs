//! The twin of the case that fails: no layer gets a way to change a request's scope.

use rag_tower::{Scoped, TenantScope};

fn read(request: &impl Scoped) -> TenantScope {
    request.scope().clone()
}

fn main() {}

//! No layer gets a way to change a request's scope.

use rag_tower::{Scoped, TenantScope};

fn swap(request: &mut impl Scoped, other: TenantScope) {
    *request.scope_mut() = other;
}

fn main() {}

//! An ask's scope can be read, not changed.

use rag_tower::{Ask, Scoped, TenantScope};

fn swap(ask: &mut Ask, other: TenantScope) {
    *ask.scope() = other;
}

fn main() {}

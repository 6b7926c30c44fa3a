//! The twin of the case that fails: an ask's scope can be read, not changed.

use rag_tower::{Ask, Scoped, TenantScope};

fn compare(ask: &Ask, other: TenantScope) -> bool {
    *ask.scope() == other
}

fn main() {}

//! A scope cannot come out of a body; the name of a tenant can.

use rag_tower::TenantScope;
use serde::{Deserialize, Deserializer};

fn body<'de, D: Deserializer<'de>>(body: D) {
    let _ = TenantScope::deserialize(body);
}

fn main() {}

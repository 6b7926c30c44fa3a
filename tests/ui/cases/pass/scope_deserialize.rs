//! The twin of the case that fails: a scope cannot come out of a body; the name of a tenant can.

use rag_tower::TenantId;
use serde::{Deserialize, Deserializer};

fn body<'de, D: Deserializer<'de>>(body: D) {
    let _ = TenantId::deserialize(body);
}

fn main() {}

//! The twin of the case that fails: a scope cannot be parsed; the name of a tenant can.

use std::str::FromStr;

use rag_tower::TenantId;

fn main() {
    let _ = TenantId::from_str("0");
}

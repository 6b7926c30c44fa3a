//! A scope cannot be parsed; the name of a tenant can.

use std::str::FromStr;

use rag_tower::TenantScope;

fn main() {
    let _ = TenantScope::from_str("0");
}

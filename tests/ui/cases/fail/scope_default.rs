//! There is no scope by default; an empty filter there is.

use rag_tower::TenantScope;

fn main() {
    let _ = <TenantScope as Default>::default();
}

//! The twin of the case that fails: there is no scope by default; an empty filter there is.

use rag_tower::Filter;

fn main() {
    let _ = <Filter as Default>::default();
}

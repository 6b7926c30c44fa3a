//! The twin of the case that fails: only memory gives an ask its history.

use std::sync::Arc;

use rag_tower::Ask;
use rag_tower::memory::History;

fn remembered(ask: &Ask) -> Option<&Arc<History>> {
    ask.history()
}

fn main() {}

//! Only memory gives an ask its history.

use std::sync::Arc;

use rag_tower::Ask;
use rag_tower::memory::History;

fn remember(ask: Ask, history: Arc<History>) -> Ask {
    ask.with_history(history)
}

fn main() {}

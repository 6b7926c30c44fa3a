//! Passages enter by the door that compares them with the scope.

use rag_tower::stage::Retrieved;
use rag_tower::{Ask, Passage};

fn enter(ask: Ask, passages: Vec<Passage>) -> Retrieved {
    Retrieved { ask, passages }
}

fn main() {}

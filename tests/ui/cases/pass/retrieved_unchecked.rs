//! The twin of the case that fails: passages enter by the door that compares them with the scope.

use rag_tower::stage::Retrieved;
use rag_tower::{Ask, Error, Passage, Passages, Scoped};

fn enter(ask: Ask, passages: Vec<Passage>) -> Result<Retrieved, Error> {
    let passages = Passages::check(ask.scope(), passages)?;
    Ok(Retrieved { ask, passages })
}

fn main() {}

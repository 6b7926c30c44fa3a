//! The twin of the case that fails: an ask takes a scope, not the name of a tenant.

use rag_tower::{Ask, Question, TenantScope};

fn ask(scope: TenantScope, question: Question) -> Ask {
    Ask::new(scope, question)
}

fn main() {}

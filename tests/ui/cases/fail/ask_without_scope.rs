//! An ask takes a scope, not the name of a tenant.

use rag_tower::{Ask, Question, TenantId};

fn ask(tenant: TenantId, question: Question) -> Ask {
    Ask::new(tenant, question)
}

fn main() {}

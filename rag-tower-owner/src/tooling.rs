//! The tools of the reference server, over Postgres.

use std::sync::Arc;

use rag_tower::BoxAskService;
use rag_tower::postgres::{Database, PgHandoffs};

use crate::tenant_data::InMemoryBook;
use crate::tools::{Comparison, CreateTicket, TOOLS, TuitionCalculator};

/// Every tool by its name.
pub(crate) fn tools(book: &InMemoryBook, database: &Database) -> Vec<(&'static str, BoxAskService)> {
    let book = Arc::new(book.clone());
    let [tuition, comparison, ticket] = TOOLS;
    vec![
        (tuition, BoxAskService::new(TuitionCalculator::new(Arc::clone(&book)))),
        (comparison, BoxAskService::new(Comparison::new(Arc::clone(&book)))),
        (ticket, BoxAskService::new(CreateTicket::new(book, Arc::new(PgHandoffs::new(database))))),
    ]
}

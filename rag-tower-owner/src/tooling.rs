//! The tools of the reference server, over Postgres.

use std::sync::Arc;

use rag_tower::BoxAskService;
use rag_tower::postgres::{Database, PgHandoffs};

use crate::tenant_data::InMemoryBook;
use crate::tools::{CreateTicket, TOOLS, Tool, ToolService, comparison, tuition_calculator};

/// Every tool by its name.
pub(crate) fn tools(book: &InMemoryBook, database: &Database) -> Vec<(&'static str, BoxAskService)> {
    let book = Arc::new(book.clone());
    let computes = |tool: Tool| BoxAskService::new(ToolService::new(Arc::clone(&book), tool));
    let [tuition, compare, ticket] = TOOLS;
    vec![
        (tuition, computes(tuition_calculator)),
        (compare, computes(comparison)),
        (
            ticket,
            BoxAskService::new(CreateTicket::new(Arc::clone(&book), Arc::new(PgHandoffs::new(database)))),
        ),
    ]
}

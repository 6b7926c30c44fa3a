//! The twin of the case that fails: a filter cannot name a tenant.

use rag_tower::filter::Condition;
use rag_tower::passage::DocumentId;
use rag_tower::{Error, Filter};

fn narrow(filter: Filter, document: DocumentId) -> Result<Filter, Error> {
    filter.and(Condition::Document(vec![document]))
}

fn main() {}

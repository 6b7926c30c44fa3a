//! What answers instead of the search pipeline, from a tenant's structured data.
//!
//! Each tool is an ordinary service, [`Ask`](rag_tower::Ask) in and [`Answer`](rag_tower::Answer) out, that a
//! [`RouteLayer`](rag_tower::route::RouteLayer) takes under one of the names of [`TOOLS`]. What a tool computes goes on
//! the trace as `tool_metadata`. A tool that cannot answer asks back, and gets the session's next turn.

mod comparison;
mod courses;
mod handoff;
mod matter;
mod quote;
mod reply;
#[cfg(test)]
mod testing;
mod text;
mod ticket;
mod tuition;
mod wishes;

pub use self::comparison::Comparison;
pub use self::handoff::{HandoffStore, InMemoryHandoffs};
pub use self::ticket::CreateTicket;
pub use self::tuition::TuitionCalculator;

/// The names of the tools that a route may name.
pub const TOOLS: [&str; 3] = ["tuition_calculator", "comparison", "create_ticket"];

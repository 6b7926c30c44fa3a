//! What answers instead of the search pipeline, from a tenant's structured data.
//!
//! Each tool is an ordinary service, [`Ask`](rag_tower::Ask) in and [`Answer`](rag_tower::Answer) out, that a
//! [`RouteLayer`](rag_tower::route::RouteLayer) takes under one of the names of [`TOOLS`]. One that only computes is a
//! function in a [`ToolService`]; one that keeps something is a service of its own. What a tool computes goes on the trace
//! as `tool_metadata`. A tool that cannot answer asks back, and gets the session's next turn.

mod comparison;
mod courses;
mod handoff;
mod matter;
mod quote;
mod reply;
mod service;
#[cfg(test)]
mod testing;
mod text;
mod ticket;
mod tuition;
mod wishes;

pub use self::comparison::comparison;
pub use self::handoff::{HandoffStore, InMemoryHandoffs};
pub use self::service::{Tool, ToolService};
pub use self::ticket::CreateTicket;
pub(crate) use self::ticket::REASONS;
pub use self::tuition::tuition_calculator;

/// The names of the tools that a route may name.
pub const TOOLS: [&str; 3] = ["tuition_calculator", "comparison", "create_ticket"];

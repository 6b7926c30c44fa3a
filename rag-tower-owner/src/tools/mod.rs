//! What answers instead of the search pipeline, from a tenant's structured data.

/// The names of the tools that a route may name.
pub const TOOLS: [&str; 3] = ["tuition_calculator", "comparison", "create_ticket"];

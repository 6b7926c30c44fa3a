//! What every request that travels through the stack can say of itself.

use crate::ask::AskId;
use crate::tenant::TenantScope;
use crate::trace::{Entry, TraceHandle};

/// A request that belongs to a tenant and to a trace. Cross-cutting layers ask for this and nothing more.
///
/// There is deliberately no mutable access: a layer can read the scope, never swap it.
pub trait Scoped {
    /// Whose request this is.
    fn scope(&self) -> &TenantScope;
    /// Where what happens to it is written down.
    fn trace(&self) -> &TraceHandle;
}

/// A request that starts a trace row: an [`Ask`](crate::Ask), or your own entry type.
pub trait Traceable: Scoped {
    /// The row's key; its UUIDv7 milliseconds are the row's time.
    fn id(&self) -> AskId;
    /// What is known of the request at its start.
    fn entry(&self) -> Entry;
}

//! Conversation memory: what was said before, and what is remembered of it.

mod fold;
mod history;
mod in_memory;
mod layer;
mod rewrite;

pub use self::fold::Folding;
pub use self::history::{History, Pending, Turn};
pub use self::in_memory::InMemoryStore;
pub use self::layer::{Memory, MemoryLayer};
pub use self::rewrite::{Rewrite, RewriteLayer, standalone};

//! Conversation memory: what was said before, and what is remembered of it.

mod fold;
mod history;
mod in_memory;
mod layer;
mod rewrite;
mod write_behind;

pub use self::fold::Folding;
pub use self::history::{History, NewTurn, Pending, Turn};
pub use self::in_memory::InMemoryStore;
pub use self::layer::{Memory, MemoryLayer};
pub use self::rewrite::{Rewrite, RewriteLayer, standalone};
pub use self::write_behind::{MemoryWriter, WriteBehind, spawn_memory_writer};

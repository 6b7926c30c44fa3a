//! Embedders that need no model server, and a memory for those that do.

mod cached;
mod local;

pub use self::cached::CachedEmbedder;
pub use self::local::LocalEmbedder;

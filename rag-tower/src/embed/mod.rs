//! Embedders that need no model server, and a memory for those that do.

mod cached;
mod each;
mod local;
mod table;

pub use self::cached::CachedEmbedder;
pub use self::local::LocalEmbedder;
pub use self::table::StaticEmbedder;

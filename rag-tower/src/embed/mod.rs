//! Embedders that need no model server.

mod local;

pub use self::local::LocalEmbedder;

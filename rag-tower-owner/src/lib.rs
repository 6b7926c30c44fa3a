//! The owner's side of rag-tower.

#[cfg(feature = "server")]
pub mod cluster;

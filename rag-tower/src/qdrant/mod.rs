#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>qdrant</code></span>")]
//! A Qdrant server or cluster as a [`VectorStore`](crate::port::VectorStore): the same points and the same filters as
//! the embedded engine, over gRPC.

mod convert;
mod store;

pub use self::store::{QdrantOptions, QdrantStore};

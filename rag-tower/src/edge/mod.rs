#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>edge</code></span>")]
//! The embedded Qdrant engine as a [`VectorStore`](crate::port::VectorStore): no server, one directory.
//!
//! The index is derived: text and origins are kept elsewhere, and [`EdgeStore::opened`] says when all of it has to be
//! written again. One shard holds all tenants, and every request carries the tenant's filter.

mod convert;
mod files;
mod known_points;
mod store;
mod threads;

pub use self::files::Opened;
pub use self::store::{EdgeOptions, EdgeStore};

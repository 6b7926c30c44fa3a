//! What tests of layers need: scopes, leaves that follow a script, a trace store in memory, the readiness contract, the
//! contracts of stores, and what must hold for whatever strangers send.
//!
//! | what you implement | its contract |
//! |---|---|
//! | [`VectorStore`](crate::port::VectorStore) | [`vector_contract`] |
//! | [`DocumentStore`](crate::port::DocumentStore), [`ChunkStore`](crate::port::ChunkStore), [`TermStats`](crate::port::TermStats) | [`document_contract`] |
//! | [`TraceStore`](crate::trace::TraceStore) | [`trace_contract`] |
//! | a layer | [`readiness`](fn@readiness) |

pub mod document_contract;
pub mod fuzz;
mod leaf;
mod promise;
mod readiness;
mod scopes;
pub mod trace_contract;
mod traces;
pub mod vector_contract;

pub use self::leaf::{Leaf, Step};
pub use self::promise::BrokenPromise;
pub use self::readiness::{BrokenRule, Probe, readiness};
pub use self::scopes::{granted, granted_with_shared, scope};
pub use self::traces::MemoryTraces;

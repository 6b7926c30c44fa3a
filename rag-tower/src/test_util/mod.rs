//! What tests of layers need: scopes, leaves that follow a script, a trace store in memory, the readiness contract, the
//! contract of vector stores, and what must hold for whatever strangers send.

pub mod fuzz;
mod leaf;
mod readiness;
mod scopes;
mod traces;
pub mod vector_contract;

pub use self::leaf::{Leaf, Step};
pub use self::readiness::{BrokenRule, Probe, readiness};
pub use self::scopes::{granted, granted_with_shared, scope};
pub use self::traces::MemoryTraces;

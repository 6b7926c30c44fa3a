//! What tests of layers need: leaves that follow a script, a trace store in memory, and the readiness contract.

mod leaf;
mod readiness;
mod traces;

pub use self::leaf::{Leaf, Step};
pub use self::readiness::{BrokenRule, Probe, readiness};
pub use self::traces::MemoryTraces;

//! The harness that the end-to-end tests and the macro benchmarks share.

pub mod browser;
pub mod collector;
pub mod console;
pub mod corpus;
pub mod dashboards;
pub mod example;
pub mod figures;
pub mod frames;
pub mod http;
pub mod load;
pub mod model_stub;
pub mod mutations;
pub mod patched;
pub mod postgres;
pub mod processor;
pub mod prometheus;
pub mod proxy;
pub mod qdrant;
pub mod redis;
pub mod server;
pub mod undefended;

/// What stored vectors are called, which is the same everywhere.
mod points {
    pub(crate) const DENSE: &str = "dense";
    pub(crate) const SPARSE: &str = "sparse";
}

/// The README's own code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

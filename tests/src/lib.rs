//! The harness that the end-to-end tests and the macro benchmarks share.

pub mod http;
pub mod load;
pub mod model_stub;
pub mod postgres;
pub mod proxy;

//! Finding passages: the port, its one door, and ways to combine sources.

mod query;

pub(crate) use self::query::measure;
pub use self::query::{Query, Retrieve, fetch};

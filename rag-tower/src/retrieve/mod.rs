//! Finding passages: the port, its one door, and ways to combine sources.

mod adapt;
mod fuse;
mod hybrid;
mod query;
mod weighted;

pub use self::adapt::{EmbedQuery, EmbedQueryLayer, KeywordOnly};
pub use self::hybrid::Hybrid;
pub(crate) use self::query::measure;
pub use self::query::{Query, Retrieve, fetch};
pub use self::weighted::{Weighted, WeightedBuilder};

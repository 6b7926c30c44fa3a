//! Finding passages: the port, its one door, and ways to combine sources.

mod adapt;
mod dense;
mod fuse;
mod fused;
mod hybrid;
#[cfg(test)]
mod leg_tests;
mod memory;
mod query;
mod resolve;
mod series;
mod sparse;
mod weighted;

pub use self::adapt::{EmbedQuery, EmbedQueryLayer, KeywordOnly};
pub use self::dense::DenseSource;
pub use self::fused::{DENSE_WEIGHT, FusedSource};
pub use self::hybrid::Hybrid;
pub use self::memory::MemoryVectors;
pub use self::query::{Query, Retrieve, fetch};
use self::resolve::resolve;
pub(crate) use self::series::Series;
pub use self::sparse::SparseSource;
pub use self::weighted::{Weighted, WeightedBuilder};

//! Answers that need not be made again.

mod key;
mod layer;
mod store;

pub use self::layer::{Cache, CacheLayer};
pub use self::store::{AnswerCache, CacheOptions};

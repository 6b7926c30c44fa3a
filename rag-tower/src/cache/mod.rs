//! Answers that need not be made again.

mod bounded;
mod key;
mod layer;
mod store;

#[cfg(feature = "openai")]
pub(crate) use self::bounded::Bounded;
pub use self::bounded::CacheOptions;
#[cfg(feature = "openai")]
pub(crate) use self::key::partition_of;
pub use self::layer::{Cache, CacheLayer};
#[cfg(feature = "openai")]
pub(crate) use self::layer::{Counts, note};
pub use self::store::AnswerCache;

//! Generators that need no model, and combinators around those that do.
//!
//! - [`Extractive`] answers with the best sentences of the passages and their citations.
//! - [`Primed`] waits for the first event, so that a provider that accepts a request and fails at once still counts
//!   as one that failed.
//! - [`RetryPolicy`] decides what is tried again, when, and how often in all; it goes into
//!   [`tower::retry::Retry`].
//! - [`Fallback`] asks providers in order until one answers, generators or any other whose requests are [`Alternate`].
//!
//! They nest in this order, outermost first: `Fallback`, then per provider `Retry`, `Primed`, the provider. Nothing is
//! retried once an event has been seen.
//!
//! ```
//! use rag_tower::generate::{Extractive, Fallback, RetryPolicy, retrying};
//! # fn provider() -> Extractive { Extractive::new() }
//! let first = retrying(provider(), RetryPolicy::new("first"));
//! let second = retrying(provider(), RetryPolicy::new("second"));
//! let answers = Fallback::new("first", first).or("second", second).or_last_resort("extractive", Extractive::new());
//! # let _ = answers;
//! ```

mod extractive;
mod fallback;
mod primed;
mod retry;

pub use self::extractive::Extractive;
pub(crate) use self::extractive::NAME as EXTRACTIVE;
pub use self::fallback::{Alternate, Failed, Fallback, Provides};
pub use self::primed::Primed;
pub use self::retry::{RetryPolicy, Retrying, retrying};

#[cfg(test)]
mod combinator_tests;
#[cfg(test)]
mod test_util;

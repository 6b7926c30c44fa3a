//! Any request in, the same out: how long an answer may take to begin, to continue and to end.
//!
//! ```
//! use std::time::Duration;
//! use rag_tower::deadline::DeadlineLayer;
//!
//! let limits = DeadlineLayer::new().first_event(Duration::from_secs(20)).total(Duration::from_secs(90));
//! ```
//!
//! | limit | from | to |
//! |---|---|---|
//! | first event | the call | the first event |
//! | idle | the moment a consumer starts to wait | the next event; a slow consumer is not an idle provider |
//! | total | the call | the terminal event |
//!
//! An ask past a limit gets [`ErrorKind::Timeout`](crate::ErrorKind::Timeout): as the future's error before there is an
//! answer, as the last item of the stream after. What is inside is dropped at that moment.
//!
//! **Order.** Inside admission, so that a slow ask gives its permit back; outside everything that waits.
//! **Readiness.** Forwarded verbatim; the time a caller waits for it is not the ask's. **Cancellation.** Nothing of its
//! own. **Panics.** Outside a Tokio runtime with its timer on.

mod future;
mod layer;
mod stream;
mod watch;

pub use self::future::DeadlineFuture;
pub use self::layer::{Deadline, DeadlineLayer};

#[cfg(test)]
mod tests;

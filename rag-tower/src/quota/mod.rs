//! Any [`Scoped`](crate::Scoped) request in, the same out: how many asks per minute, per tenant and per key. What comes
//! back is the inner service's own, whatever that is.
//!
//! ```
//! use rag_tower::quota::{MemoryRateLimits, Quota, RateLimitLayer};
//!
//! let limits = RateLimitLayer::new(MemoryRateLimits::default())
//!     .per_tenant(Quota::per_minute(600))
//!     .per_key(Quota::per_minute(60));
//! ```
//!
//! The algorithm is GCRA (ITU-T I.371, the "virtual scheduling" form): per key one point in time, no window that could
//! be gamed at its edge. A full minute's worth may come at once; after that, one ask per interval. A quota of 0 is off.
//! A refusal is [`ErrorKind::RateLimited`](crate::ErrorKind::RateLimited) with the wait in `retry_after`, and counts in
//! `rag_rate_limited_total`. The key is asked before the tenant, so that a noisy key which is refused does not use up
//! what its colleagues share. When the store of the counts fails, the ask runs: limits protect the service and are not
//! what keeps tenants apart.
//!
//! **Order.** Inside the trace layer: a refusal is a row with status RATE_LIMITED. **Readiness.** Forwarded verbatim; a
//! refusal drops the readied service and so gives back what it had reserved. **Cancellation.** A dropped ask has used
//! its place. **Panics.** None of its own.

mod gcra;
mod layer;
mod memory;
mod port;

pub use self::gcra::{Quota, Verdict};
pub use self::layer::{RateLimit, RateLimitFuture, RateLimitLayer};
pub use self::memory::MemoryRateLimits;
pub use self::port::{RateKey, RateLimitStore};

//! Any [`Scoped`](crate::Scoped) request in, the same out: how many asks may run at once, over all and per tenant.
//!
//! ```
//! use rag_tower::admission::AdmissionLayer;
//!
//! let limits = AdmissionLayer::new(256).per_tenant(32);
//! ```
//!
//! A permit is taken in `call`, because who asks is unknown before; it travels in the answer (or in whatever else can
//! [`Hold`] it while it streams) and is given back when the terminal event or an error is yielded, or when future or
//! stream is dropped. There is no queue: an ask over the
//! limit is refused at once with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) and a `Retry-After` of one
//! second, so that a burst cannot turn into a wait for everybody.
//!
//! **Order.** Inside the trace layer (a refusal is a row), outside everything that works. **Readiness.** Forwarded
//! verbatim; a refusal gives back what the readied service had reserved. **Cancellation.** Gives the permit back.
//! **Panics.** None; a panic inside gives the permit back while it unwinds.

mod future;
mod hold;
mod layer;
mod permit;
mod service;

pub use self::future::AdmissionFuture;
pub use self::hold::Hold;
pub use self::layer::AdmissionLayer;
pub use self::service::Admission;

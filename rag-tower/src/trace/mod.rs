//! One row per ask, always.
//!
//! [`TraceLayer`] watches each ask from its call to the end of its answer and hands one [`TraceRow`] to the writer,
//! whichever way the ask ends: finished, failed, truncated, dropped by its caller, or by a panic.
//!
//! ```
//! # use rag_tower::{Answer, Ask, Error, trace::{TraceLayer, TraceStore, WriterConfig, spawn_writer}};
//! # use tower::{Service, ServiceBuilder};
//! # async fn stack<S>(leaf: S, store: impl TraceStore) -> impl Service<Ask, Response = Answer, Error = Error>
//! # where S: Service<Ask, Response = Answer, Error = Error> + Clone {
//! let (sink, writer) = spawn_writer(store, WriterConfig::default());
//! let stack = ServiceBuilder::new().layer(TraceLayer::new(sink)).service(leaf);
//! # drop(writer);
//! # stack
//! # }
//! ```
//!
//! # When things happen
//! | when | what |
//! |---|---|
//! | `call` | the row's place in the queue is reserved; an ask whose row could not be kept does as [`WhenFull`] says |
//! | an event is about to be yielded | the first piece of text stops the first-token clock; text, sources and usage are kept |
//! | `Finished` or an error is about to be yielded, or the stream ends without | the row is built and handed in, metrics are counted; with a [journal](FileJournal), the row is in it before the item goes out, and the item waits until the row is as safe as [`Fsync`] says |
//! | the future or the stream is dropped before | the row is handed in as cancelled, or as panicked when inner code had unwound |
//!
//! Waiting for the end of the *stream* would be wrong: writers of server-sent events stop polling at the terminal event.
//! An ask whose service is never called has no row.
//!
//! **Order.** Outermost in the RAG plane, so that refusals of the limits inside it are rows too. An ask whose
//! [`TraceHandle`] is already in the charge of an outer layer (the HTTP twin) is annotated there and gives no second row.
//! **Readiness.** Forwarded verbatim. **Cancellation.** Dropping future or stream ends the ask at once; nothing waits in
//! `Drop`. **Panics.** None of its own; inner ones pass through and are recorded.

mod future;
mod guard;
mod handle;
pub mod http;
mod isolation;
mod journal;
mod layer;
mod meter;
mod outcome;
mod parent;
mod prices;
mod row;
mod service;
mod sink;
mod stats;
mod stream;
mod writer;

pub use self::future::TraceFuture;
pub use self::guard::MAX_ANSWER_BYTES;
pub use self::handle::{Entry, Facts, HitRecord, Span, StageTimer, TraceHandle};
pub(crate) use self::isolation::Searching;
pub use self::isolation::{
    CachePartition, CacheResult, CacheUse, Confines, DatabaseIdentity, IsolationReceipt, Verdict,
};
pub use self::journal::{FileJournal, Fsync, Journal, Receipt};
pub use self::layer::TraceLayer;
pub use self::outcome::{Outcome, Phase, Status};
pub use self::parent::Parent;
pub use self::prices::{PriceBook, Prices};
pub use self::row::{TraceRow, TraceStore};
pub use self::service::Trace;
pub use self::sink::{TraceSink, TraceTap, WhenFull};
pub use self::stats::TraceStats;
pub use self::writer::{TraceWriter, WriterConfig, spawn_writer};

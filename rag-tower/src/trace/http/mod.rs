//! `http::Request` in, the same out: one row per request, for a program with a chat endpoint of its own.
//!
//! ```
//! # use rag_tower::trace::{TraceSink, http::HttpTraceLayer};
//! # use tower::ServiceBuilder;
//! # fn stack<S>(sink: TraceSink, chat: S) {
//! let chat = ServiceBuilder::new().layer(HttpTraceLayer::new(sink)).service(chat);
//! # }
//! ```
//!
//! The handler finds a [`TraceHandle`](super::TraceHandle) among the request's extensions and says what it knows: the
//! tenant (the layer that resolves it does so by itself), question, answer, stages, tokens, outcome.
//!
//! # When things happen
//! | when | what |
//! |---|---|
//! | `call` | the row's place is reserved, the clock starts, the handle is put into the extensions |
//! | the response's head is there | a body that the server will not poll (HEAD, 204, 304, empty) ends the row now |
//! | the last frame that is known as such | the row is handed in before the frame goes out: at the announced length, or when the body says it has ended |
//! | the body ends without a known last frame | the row is handed in at its end |
//! | future or body is dropped before | the row is handed in as cancelled, or as panicked when inner code had unwound |
//!
//! The outcome is the one the handler has set, else it follows from the status: 2xx and 3xx are completed. Whether the
//! text of a team's own stream was complete cannot be seen from outside: its end counts as completed unless the
//! handler says otherwise. A request without a tenant by its end (a 401) has no row and counts as void.
//!
//! **Order.** Outside the layer that resolves the tenant. An ask inside that is given the handle with
//! [`Ask::with_trace`](crate::Ask::with_trace) annotates this row and gives it its id. **Readiness.** Forwarded
//! verbatim. **Cancellation.** Dropping ends the row at once. **Panics.** None of its own; inner ones pass through and
//! are recorded. A full queue never refuses a request here: it runs unrecorded.

mod body;
mod future;
mod layer;

pub use self::body::TracedBody;
pub use self::future::HttpTraceFuture;
pub use self::layer::{HttpTrace, HttpTraceLayer};

//! Retrieval-augmented generation, tenant isolation, tracing-to-Postgres and limits as composable Tower layers.

pub mod admission;
pub mod answer;
pub mod ask;
pub mod cache;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod deadline;
#[cfg(feature = "edge")]
pub mod edge;
pub mod embed;
pub mod error;
pub mod eval;
pub mod filter;
pub mod generate;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod http;
pub mod ingest;
pub mod masking;
pub mod memory;
pub mod metrics;
#[cfg(feature = "openai")]
pub mod openai;
#[cfg(feature = "otel")]
pub mod otel;
pub mod passage;
mod pipeline;
#[cfg(any(feature = "edge", feature = "qdrant"))]
mod points;
pub mod port;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "qdrant")]
pub mod qdrant;
pub mod quota;
mod rank;
pub mod rescue;
pub mod retrieve;
pub mod route;
mod scoped;
pub mod stage;
pub mod tenant;
pub mod test_util;
pub mod text;
#[cfg(any(feature = "openai", feature = "otel"))]
mod tls;
pub mod trace;
mod wording;
pub mod words;

pub use self::answer::{AbstainReason, Answer, AnswerStream, Event, Finish, Usage};
pub use self::ask::{Ask, AskId, Channel, Question, SessionId};
pub use self::error::{BoxError, Error, ErrorKind, Result, Stage};
pub use self::filter::Filter;
pub use self::passage::{Origin, Passage, Passages, Source};
pub use self::pipeline::{BoxAskService, Pipeline, check_ask_service};
pub use self::scoped::{Scoped, Traceable};
pub use self::tenant::{Grant, TenantAuthority, TenantId, TenantScope};
pub use self::trace::TraceHandle;
pub use self::wording::{Wording, Wordings};

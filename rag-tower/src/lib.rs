//! Retrieval-augmented generation, tenant isolation, tracing-to-Postgres and limits as composable Tower layers.
//!
//! Take one layer and keep everything else you have, or stack all of them. Tenants are capabilities that cannot be forged or
//! forgotten, every question leaves one row whatever happens to it, and nothing is downloaded or called unless it is asked for.
//!
//! ```text
//!  HTTP plane                     RAG plane                           provider plane
//!  http::Request<B>               Ask ──────────────────▶ Answer      Embed, Retrieve, …
//!  ResolveTenantLayer             TraceLayer      one row per ask     timeout, retry,
//!  HttpTraceLayer                 RescueLayer     any error → Error   fallback: Tower's
//!  AskService (HTTP → Ask) ─────▶ RateLimitLayer  tenant and key      own layers around
//!                                 AdmissionLayer  while it streams    OpenAI-compatible
//!                                 DeadlineLayer   first, idle, total  models, Qdrant,
//!                                 Memory, Cache, RouteLayer           your own
//!                                 Embed → Retrieve → Rerank →
//!                                 Confidence → Prompt → Generate ───▶
//! ```
//!
//! # An answer, from end to end
//!
//! ```
//! use rag_tower::port::{EmbedRequest, Embedding, GenerateRequest};
//! use rag_tower::retrieve::Query;
//! use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
//! use rag_tower::{AnswerStream, Ask, Error, Event, Finish, Passage, Pipeline, Question};
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! // providers are Tower services: these are the smallest there are
//! let embedder = service_fn(|_: EmbedRequest| async { Ok::<_, Error>(vec![Embedding::new([1.0])]) });
//! let source = service_fn(|_: Query<Embedding>| async { Ok::<_, Error>(Vec::<Passage>::new()) });
//! let generator = service_fn(|_: GenerateRequest| async {
//!     Ok::<_, Error>(AnswerStream::ready(vec![Event::Delta("At nine.".into()), Event::Finished(Finish::Stop)]))
//! });
//! let answers = Pipeline::new() // a wrong order does not compile
//!     .embed(EmbedLayer::new(embedder))
//!     .retrieve(RetrieveLayer::new(source))
//!     .prompt(PromptLayer::default())
//!     .boxed(Generate::new(generator));
//!
//! // no ask without a scope; in a program it comes from the layer that verified the credential
//! let ask = Ask::new(rag_tower::test_util::scope("acme"), Question::parse("When do you open?")?);
//! let events = answers.oneshot(ask).await?.collect().await?;
//! assert_eq!(events.last(), Some(&Event::Finished(Finish::Stop)));
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes on from here; its [cookbook](guide::cookbook) has more of these, such as a whole pipeline in memory.
//!
//! # What is where
//!
//! | | |
//! |---|---|
//! | plain data | [`ask`], [`answer`], [`passage`], [`error`], [`filter`] |
//! | who asks | [`tenant`] |
//! | how an answer is made | [`stage`], [`Pipeline`], [`retrieve`], [`embed`], [`generate`], [`ingest`] |
//! | around it | [`trace`], [`rescue`], [`quota`], [`admission`], [`deadline`], [`memory`], [`cache`], [`route`] |
//! | what you implement | [`port`] |
//! | HTTP | [`http`] |
//! | measuring and testing | [`metrics`], [`eval`], [`test_util`] |
//!
//! # Features
//!
//! None is on by default, and without any the crate needs neither a database nor a web framework: at most sixty crates.
//!
//! | feature | brings |
//! |---|---|
//! | `axum` | extractors for the scope and the trace handle, WebSockets |
//! | `jwt` | tenants from signed tokens |
//! | `codes` | one-time codes for logins by e-mail |
//! | `postgres` | rows, documents, memory, keys and prices in Postgres, with forced row-level security |
//! | `edge` | the embedded Qdrant engine as a vector store |
//! | `qdrant` | a Qdrant server as a vector store |
//! | `redis` | rate limits, tickets and codes that several processes share, in Redis |
//! | `openai` | embedder and generator for any server that speaks the OpenAI API |
//! | `ingest` | reading HTML files |
//! | `conformance` | the kit that proves the isolation of any HTTP service |
//! | `full` | all of them |
#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod locked;
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
#[cfg(feature = "redis")]
pub mod redis;
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

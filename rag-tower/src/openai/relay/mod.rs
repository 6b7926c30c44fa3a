//! Calls of OpenAI's API passed on as they are: `http::Request` in, a provider's own answer out, byte for byte.
//!
//! ```
//! use rag_tower::admission::AdmissionLayer;
//! use rag_tower::generate::Fallback;
//! use rag_tower::openai::Endpoint;
//! use rag_tower::openai::relay::{
//!     OpenAiErrorsLayer, RecordLayer, RelayLayer, ReplyCache, ReplyCacheLayer, Upstream,
//! };
//! use rag_tower::quota::{MemoryRateLimits, Quota, RateLimitLayer};
//! use rag_tower::tenant::{ApiKeyResolver, MemoryApiKeys, ResolveTenantLayer};
//! use rag_tower::trace::{TraceSink, http::HttpTraceLayer};
//! use rag_tower::{Error, TenantAuthority};
//! use tower::{Service, ServiceBuilder};
//!
//! fn stack(sink: TraceSink, keys: MemoryApiKeys, first: &Endpoint, second: &Endpoint) -> Result<(), Error> {
//!     let providers = Fallback::new("first", Upstream::new(first)).or("second", Upstream::new(second));
//!     let stack = ServiceBuilder::new()
//!         .layer(HttpTraceLayer::new(sink))                 // one row per request
//!         .layer(OpenAiErrorsLayer::new())                  // our refusals, as OpenAI says them
//!         .layer(ResolveTenantLayer::new(TenantAuthority::new(), ApiKeyResolver::new(keys))) // whose key it is
//!         .layer(RelayLayer::new())                         // http::Request -> Call
//!         .layer(RecordLayer::new())                        // question, answer, tokens onto the row
//!         .layer(RateLimitLayer::new(MemoryRateLimits::default()).per_tenant(Quota::per_minute(600)))
//!         .layer(AdmissionLayer::new(512).per_tenant(64))   // calls at once
//!         .layer(ReplyCacheLayer::new(ReplyCache::default()))
//!         .service(providers);
//! #   fn check(_: impl Service<http::Request<http_body_util::Empty<bytes::Bytes>>>) {}
//! #   check(stack);
//!     Ok(())
//! }
//! ```
//!
//! The HTTP plane ends at [`RelayLayer`]. What is inside it sees a [`Call`], which has its tenant and its trace by type,
//! and answers with a [`Reply`]; the limits and the fallback in there are those of asks.
//!
//! # What passes, and what does not
//! | | |
//! |---|---|
//! | served | `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`; `GET /v1/models`, `/v1/models/{id}`; nothing else, since what providers keep (files, stored responses, fine-tunes) belongs to the one key that all tenants share |
//! | the request's body | every byte; a provider [with a model of its own](Upstream::with_model) gets that name in the place of the client's |
//! | the request's headers | all but those of one hop, the client's credential and cookies, who the client is (`Host`, `Forwarded`, `X-Forwarded-*`, `Origin`, `Referer`), the tenant header, `OpenAI-Organization` and `OpenAI-Project`, which are part of a credential, and `Accept-Encoding`: an answer that is compressed could not be read on the way |
//! | the provider's answer | status, body and frames as they come, each handed on at once |
//! | its headers | all but those of one hop, and `Set-Cookie`, `Alt-Svc`, `Strict-Transport-Security`, which are the provider's relation to us |
//! | its refusals | as they are, so that clients see OpenAI's own codes; but 401, 403 and redirects are about our key and our address, and a text that quotes our key is ours to hide: these become a 502 of our own |
//! | no answer, or 429, 408 and 5xx before the first byte | the next provider's answer; of the last one, what it said |
//!
//! Each call to a provider is measured in the `gen_ai_client_*` metrics, whose label for a model is a name that
//! [`Upstream::with_labels`] knows, or `other`: no client makes a series. Usage is read as it passes, and never asked for: a
//! stream whose client has not set `stream_options.include_usage` has an estimate on its row, and says so.

mod body;
mod cache;
mod call;
mod errors;
mod headers;
mod known;
mod metered;
mod patient;
mod reading;
mod record;
mod service;
mod upstream;

pub use self::body::{Reply, ReplyBody};
pub use self::cache::{ReplyCache, ReplyCacheLayer, ReplyCached};
pub use self::call::{Call, Operation};
pub use self::errors::{OpenAiErrors, OpenAiErrorsFuture, OpenAiErrorsLayer};
pub use self::record::{Record, RecordFuture, RecordLayer};
pub use self::service::{Relay, RelayFuture, RelayLayer};
pub use self::upstream::Upstream;

#[cfg(test)]
mod tests;

#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>openai</code></span>")]
//! Models behind the OpenAI API: OpenAI itself, Groq, Gemini, OpenRouter, Ollama, vLLM and whatever else speaks it.
//!
//! An [`Endpoint`] is where and with which key; an [`OpenAiGenerator`] and an [`OpenAiEmbedder`] are services
//! over it, and so is an [`HttpReranker`], whose protocol is not OpenAI's.
//! Neither retries: put them into [`retrying`](crate::generate::retrying) and
//! [`Fallback`](crate::generate::Fallback). Calls that are somebody else's are passed on as they are by the layers of [`relay`].
//!
//! What providers do differently and how it ends:
//!
//! | the provider | the result |
//! |---|---|
//! | reports usage last, or never | its usage, or an estimate that says so |
//! | closes without `[DONE]` after a finish reason | a complete answer |
//! | closes without a finish reason | [`Truncated`](crate::ErrorKind::Truncated) |
//! | answers a stream request with one JSON document | one piece of text, complete |
//! | sends something that is not JSON, or an empty answer | [`ProviderInvalid`](crate::ErrorKind::ProviderInvalid) |
//! | 400, 401, 403, 404 and other refusals | [`ProviderRejected`](crate::ErrorKind::ProviderRejected) |
//! | 429 | [`ProviderRateLimited`](crate::ErrorKind::ProviderRateLimited), with its `Retry-After` |
//! | 5xx, or cannot be connected to | [`ProviderUnavailable`](crate::ErrorKind::ProviderUnavailable) |
//! | is silent too long | [`Timeout`](crate::ErrorKind::Timeout) |
//!
//! Neither the key nor any text of a provider is in a message, a log line or a `Debug` output. TLS is rustls with the
//! ring provider and the platform's certificates, passed explicitly: no process-wide default is installed.
//!
//! Requests are `async-openai`'s types. Responses are read by a lenient reader of our own, since most compatible
//! servers leave out fields that OpenAI's types require, and over a plain stream, so that back-pressure and
//! cancellation reach the provider.

mod client;
mod embedder;
mod endpoint;
mod events;
mod generator;
mod meter;
mod refusal;
pub mod relay;
mod reranker;
mod sse;
mod vectors;
mod wire;

pub use self::embedder::OpenAiEmbedder;
pub use self::endpoint::{Endpoint, EndpointBuilder};
pub(crate) use self::events::replay;
pub use self::generator::OpenAiGenerator;
pub use self::reranker::HttpReranker;

//! One call on its way to a provider.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::OwnedSemaphorePermit;

use super::body::Reply;
use super::known::Known;
use super::upstream::Refused;
use crate::error::{Error, ErrorKind, Stage};
use crate::generate::{Alternate, Failed};
use crate::http::Problem;
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// A call of one tenant's, whole, and what has been read of it. Cloning it is two atomic increments and a few words.
#[derive(Clone, Debug)]
pub struct Call {
    scope: TenantScope,
    trace: TraceHandle,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    operation: Operation,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    /// The room that the body takes.
    _room: OwnedSemaphorePermit,
    known: Known,
}

/// What a call is for: the row's route, and the label of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    TextCompletion,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `GET /v1/models` and `GET /v1/models/{id}`.
    Models,
}

/// Why a request is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotServed {
    /// No such route.
    Route,
    /// The route is another method's.
    Method(Operation),
}

/// What every path of the API begins with.
pub(super) const PREFIX: &str = "/v1";

// === impl Call ===

impl Call {
    pub(super) fn new(
        (scope, trace): (TenantScope, TraceHandle),
        operation: Operation,
        parts: http::request::Parts,
        (body, room): (Bytes, OwnedSemaphorePermit),
    ) -> Self {
        let known = if operation == Operation::Models { Known::default() } else { Known::read(&body) };
        let http::request::Parts { method, uri, headers, .. } = parts;
        Self {
            scope,
            trace,
            inner: Arc::new(Inner { operation, method, uri, headers, body, _room: room, known }),
        }
    }

    /// What it is for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.inner.operation
    }

    /// The model that it names.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<str>> {
        self.inner.known.model()
    }

    /// The headers, as the client sent them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The body, as the client sent it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.inner.body
    }

    /// True when the same call is to be answered in the same way: a temperature of 0, or vectors.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self.inner.operation {
            Operation::Chat | Operation::TextCompletion => self.inner.known.temperature() == Some(0.0),
            Operation::Embeddings => self.inner.known.model().is_some(),
            Operation::Models => false,
        }
    }

    /// What is asked: the text of the last message of a user's, or the prompt.
    pub(super) fn question(&self) -> Option<String> {
        self.inner.known.question(&self.inner.body)
    }

    /// What the texts of the call come to, in tokens, about.
    pub(super) fn estimated_tokens(&self) -> u64 {
        self.inner.known.estimated_tokens()
    }

    /// The body with another model's name.
    pub(super) fn body_for(&self, model: &str) -> Bytes {
        self.inner.known.with_model(&self.inner.body, model)
    }

    pub(super) fn method(&self) -> &Method {
        &self.inner.method
    }

    /// Path and query below [`PREFIX`].
    pub(super) fn rest(&self) -> &str {
        let whole = self.inner.uri.path_and_query().map_or("", |path| path.as_str());
        whole.strip_prefix(PREFIX).unwrap_or(whole)
    }
}

impl Scoped for Call {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}

impl Alternate for Call {
    type Response = Reply;

    async fn settle(reply: Reply) -> Result<Reply, Failed<Reply>> {
        match reply.extensions().get::<Refused>().map(Refused::kind) {
            Some(kind @ (ErrorKind::ProviderUnavailable | ErrorKind::ProviderRateLimited)) => {
                Err(Failed { error: Error::new(kind, Stage::Generate), response: Some(reply) })
            }
            _ => Ok(reply),
        }
    }
}

// === impl Operation ===

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Chat, Self::TextCompletion, Self::Embeddings, Self::Models];

    /// The route in the row and in metrics: the names that OpenTelemetry has for them, where it has any.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
        }
    }

    /// True when it costs tokens.
    pub(super) fn is_metered(self) -> bool {
        self != Self::Models
    }

    /// What a request is for, or why it is not served.
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, NotServed> {
        let (operation, wanted) = match path.strip_prefix(PREFIX) {
            Some("/chat/completions") => (Self::Chat, Method::POST),
            Some("/completions") => (Self::TextCompletion, Method::POST),
            Some("/embeddings") => (Self::Embeddings, Method::POST),
            Some("/models") => (Self::Models, Method::GET),
            Some(rest) if rest.strip_prefix("/models/").is_some_and(is_plain) => (Self::Models, Method::GET),
            _ => return Err(NotServed::Route),
        };
        if *method == wanted { Ok(operation) } else { Err(NotServed::Method(operation)) }
    }
}

// === impl NotServed ===

impl NotServed {
    /// The method that is, as a header.
    pub(super) fn allowed(self) -> Option<HeaderValue> {
        match self {
            Self::Route => None,
            Self::Method(Operation::Models) => Some(HeaderValue::from_static("GET")),
            Self::Method(_) => Some(HeaderValue::from_static("POST")),
        }
    }
}

impl From<NotServed> for Problem {
    fn from(not_served: NotServed) -> Self {
        match not_served {
            NotServed::Route => Self::new(
                StatusCode::NOT_FOUND,
                "unknown_url",
                "there is no such route here: /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models are served",
            ),
            NotServed::Method(Operation::Models) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET for this route")
            }
            NotServed::Method(_) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use POST for this route")
            }
        }
    }
}

/// True for the name of a model. One that could lead elsewhere at the provider (`..`, an escape) is none.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte);
    id.bytes().all(plain) && id.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_one_call_is_served() {
        let of = |method: Method, path: &str| {
            Operation::of(&method, path).map_err(|refusal| Problem::from(refusal).status().as_u16())
        };
        assert_eq!(of(Method::POST, "/v1/chat/completions"), Ok(Operation::Chat));
        assert_eq!(of(Method::GET, "/v1/models"), Ok(Operation::Models));
        assert_eq!(of(Method::GET, "/v1/models/ft:gpt-4o:acme/x.1"), Ok(Operation::Models));
        assert_eq!(of(Method::GET, "/v1/chat/completions"), Err(405));
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/files",
            "/v1/responses",
            "/v1/chat/completions/",
            "/v1/chat/completions/chatcmpl-1",
            "/v1/models/",
            "/v1/models/..",
            "/v1/models/../files",
            "/v1/models/a/../../files",
            "/v1/models/%2e%2e/files",
            "/v1/models/a\\b",
            "/v1/models//files",
            "/v2/models",
            "/models",
        ] {
            assert_eq!(of(Method::GET, path), Err(404), "{path}");
        }
    }
}

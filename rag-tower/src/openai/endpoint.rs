//! Where a model is, and with which key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::client::{self, HttpClient};
use super::refusal;
use crate::error::{Error, ErrorKind, Stage};

/// A server that speaks the OpenAI API, with its key and its limits of patience. Clones share one connection pool.
///
/// Where the environment names a proxy for it (`HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, but for what `NO_PROXY` names), it is
/// reached through a tunnel of that proxy's (`CONNECT`).
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    base: Uri,
    /// The base URL without a slash at its end: what paths are added to.
    root: Arc<str>,
    client: HttpClient,
    authorization: Option<HeaderValue>,
    first_event: Duration,
    idle: Duration,
}

/// Settings of an [`Endpoint`].
#[must_use = "settings do nothing until `build`"]
pub struct EndpointBuilder {
    base_url: String,
    name: Option<Arc<str>>,
    key: Option<String>,
    connect: Duration,
    first_event: Duration,
    idle: Duration,
}

/// Room for the body of most requests, in bytes.
const USUAL_BODY: usize = 16 * 1024;

// === impl Endpoint ===

impl Endpoint {
    /// Starts with the base URL, such as `https://api.openai.com/v1` or `http://127.0.0.1:11434/v1`.
    pub fn builder(base_url: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder {
            base_url: base_url.into(),
            name: None,
            key: None,
            connect: Duration::from_secs(5),
            first_event: Duration::from_secs(60),
            idle: Duration::from_secs(30),
        }
    }

    /// The provider's name: the one given, else the base URL's host.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// True for OpenAI's own servers, whose newer models refuse `max_tokens` by its old name.
    pub(super) fn is_openai(&self) -> bool {
        self.0.base.host().is_some_and(|host| host.eq_ignore_ascii_case("api.openai.com"))
    }

    /// A request to what is below the base URL, with our key.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a path that cannot be one.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let uri = Uri::try_from(format!("{}{path}", self.0.root));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.map_err(|error| Error::internal(Stage::Generate, error))?;
        if let Some(key) = self.authorization() {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        Ok(request)
    }

    /// Sends a request; the response has any status.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        by: Instant,
        stage: Stage,
    ) -> Result<Response<Incoming>, Error> {
        match timeout_at(by, self.0.client.request(request)).await {
            Err(_) => Err(refusal::silent(self.name(), stage)),
            Ok(Err(error)) => Err(refusal::unreachable(self.name(), stage, error)),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// The key, as a header.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.authorization.as_ref()
    }

    /// How long may pass between two pieces of an answer.
    pub(super) fn idle(&self) -> Duration {
        self.0.idle
    }

    /// When the first piece of an answer must be there, from now.
    pub(super) fn first_by(&self) -> Instant {
        Instant::now() + self.0.first_event
    }

    /// Posts JSON; a response that is returned has a status of success.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        by: Instant,
        stage: Stage,
    ) -> Result<Response<Incoming>, Error> {
        let mut json = Vec::with_capacity(USUAL_BODY);
        serde_json::to_writer(&mut json, body).map_err(|error| Error::internal(stage, error))?;
        let mut request = self.request(Method::POST, path, json.into())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.send(request, by, stage).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        match timeout_at(by, refusal::refused(self.name(), stage, response)).await {
            Ok(error) => Err(error),
            Err(_) => Err(refusal::silent(self.name(), stage)),
        }
    }

    /// All of a response, up to so many bytes; none of one that is longer.
    pub(super) async fn whole(
        &self,
        response: Response<Incoming>,
        most: usize,
        by: Instant,
        stage: Stage,
    ) -> Result<Option<Bytes>, Error> {
        match timeout_at(by, Limited::new(response.into_body(), most).collect()).await {
            Err(_) => Err(refusal::silent(self.name(), stage)),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Ok(None),
            Ok(Err(error)) => Err(refusal::unreachable(self.name(), stage, error)),
            Ok(Ok(body)) => Ok(Some(body.to_bytes())),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.0.name)
            .field("base_url", &self.0.root)
            .finish_non_exhaustive()
    }
}

// === impl EndpointBuilder ===

impl EndpointBuilder {
    /// The key, sent as a bearer token. Default: none, for servers that need none.
    ///
    /// # Warning
    /// Over `http://` the key travels in clear text: use that for this machine only.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The name in traces and metrics. Default: the base URL's host.
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long connecting may take. Default: 5 seconds.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// How long the first piece of an answer may take, connecting included. Default: 60 seconds.
    pub fn with_first_event_timeout(mut self, timeout: Duration) -> Self {
        self.first_event = timeout;
        self
    }

    /// How long may pass between two pieces of an answer. Default: 30 seconds.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = timeout;
        self
    }

    /// The endpoint. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a base URL that is not `http` or `https` with a host, or that carries a user, a
    /// query or a fragment, for a key that cannot be a header's value, and for a proxy in the environment that is not reached
    /// over `http`.
    pub fn build(self) -> Result<Endpoint, Error> {
        let base = base_url(&self.base_url)?;
        let authorization = authorization(self.key.as_deref())?;
        let client = client::client(&base, self.connect)?;
        let name = self.name.unwrap_or_else(|| base.host().unwrap_or_default().to_ascii_lowercase().into());
        Ok(Endpoint(Arc::new(Inner {
            name,
            root: base.to_string().trim_end_matches('/').into(),
            base,
            client,
            authorization,
            first_event: self.first_event,
            idle: self.idle,
        })))
    }
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

fn base_url(text: &str) -> Result<Uri, Error> {
    // The text itself stays out of the message: a mistaken one may hold a key.
    let wrong = |what: &str| {
        let message = format!(
            "the model base URL {what}: give http:// or https://, a host and a path, such as https://api.openai.com/v1"
        );
        Error::new(ErrorKind::InvalidInput, Stage::Generate).with_message(message)
    };
    let text = text.trim();
    if text.contains(['?', '#']) {
        return Err(wrong("carries a query or fragment"));
    }
    let url = Uri::try_from(text).map_err(|_| wrong("is not a URL"))?;
    let scheme = url.scheme();
    match () {
        () if scheme != Some(&Scheme::HTTP) && scheme != Some(&Scheme::HTTPS) => {
            Err(wrong("has another scheme"))
        }
        () if url.host().is_none_or(str::is_empty) => Err(wrong("has no host")),
        () if url.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            Err(wrong("carries a user or password"))
        }
        () => Ok(url),
    }
}

fn authorization(key: Option<&str>) -> Result<Option<HeaderValue>, Error> {
    let Some(key) = key.map(str::trim).filter(|key| !key.is_empty()) else { return Ok(None) };
    let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, Stage::Generate).with_message(
            "the model key holds characters that no key has: copy it again, without line breaks",
        )
    })?;
    bearer.set_sensitive(true);
    Ok(Some(bearer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked_and_never_repeated() {
        for wrong in [
            "",
            "api.openai.com/v1",
            "ftp://example.com",
            "https://",
            "https://sk-secret@example.com/v1",
            "https://example.com/v1?key=sk-secret",
            "https://example.com/v1#sk-secret",
        ] {
            let error = Endpoint::builder(wrong).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
            assert!(error.to_string().contains("https://api.openai.com/v1"), "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn requests_are_below_the_base_url_and_carry_the_key() {
        for (base, uri) in [
            ("http://localhost/v1", "http://localhost/v1/embeddings"),
            (" http://localhost:9/v1/ ", "http://localhost:9/v1/embeddings"),
            ("https://[::1]", "https://[::1]/embeddings"),
        ] {
            let endpoint = Endpoint::builder(base).with_key("sk-secret").build().unwrap();
            let request = endpoint.request(Method::POST, "/embeddings", Bytes::new()).unwrap();
            assert_eq!((request.uri().to_string().as_str(), request.method()), (uri, &Method::POST));
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer sk-secret");
            assert!(request.headers()[AUTHORIZATION].is_sensitive());
        }
    }

    #[test]
    fn the_name_is_the_host_unless_given_and_the_key_is_never_shown() {
        let builder = Endpoint::builder("http://127.0.0.1:9/v1/").with_key("sk-secret");
        assert!(!format!("{builder:?}").contains("secret"));
        let endpoint = builder.build().unwrap();
        assert_eq!(&**endpoint.name(), "127.0.0.1");
        assert!(!format!("{endpoint:?} {:?}", endpoint.0.client).contains("secret"));
        let named = Endpoint::builder("https://localhost/v1").with_name("mine").build().unwrap();
        assert_eq!(&**named.name(), "mine");
        let broken = Endpoint::builder("http://localhost/v1").with_key("sk-se\ncret").build().unwrap_err();
        assert!(!format!("{broken:?}").contains("cret\""), "{broken:?}");
    }
}

//! Where a model is, and with which key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::refusal;
use crate::error::{Error, ErrorKind, Stage};
use crate::tls;

/// A server that speaks the OpenAI API, with its key and its limits of patience. Clones share one connection pool.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    base: Url,
    client: Client,
    authorization: Option<HeaderValue>,
    connect: Duration,
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
        self.0.base.host_str() == Some("api.openai.com")
    }

    /// The address of something below the base URL, such as `/embeddings`.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.0.base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// The base URL.
    pub(super) fn base(&self) -> &str {
        self.0.base.as_str()
    }

    /// True when it is spoken to over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0.base.scheme() == "https"
    }

    /// The key, as a header.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.authorization.as_ref()
    }

    /// How long connecting may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.0.connect
    }

    /// How long may pass between two pieces of an answer.
    pub(super) fn idle(&self) -> Duration {
        self.0.idle
    }

    /// When the first piece of an answer must be there, from now.
    pub(super) fn first_by(&self) -> Instant {
        Instant::now() + self.0.first_event
    }

    /// Sends a request to one of our [addresses](Self::url); a response that is returned has a status of success.
    pub(super) async fn post(
        &self,
        url: &Url,
        body: &impl Serialize,
        by: Instant,
        stage: Stage,
    ) -> Result<Response, Error> {
        let mut json = Vec::with_capacity(USUAL_BODY);
        serde_json::to_writer(&mut json, body).map_err(|error| Error::internal(stage, error))?;
        let sending = self.0.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(json).send();
        let response = match timeout_at(by, sending).await {
            Err(_) => return Err(refusal::silent(self.name(), stage)),
            Ok(Err(error)) => return Err(refusal::unreachable(self.name(), stage, error.without_url())),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        match timeout_at(by, refusal::refused(self.name(), stage, response)).await {
            Ok(error) => Err(error),
            Err(_) => Err(refusal::silent(self.name(), stage)),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.0.name)
            .field("base_url", &self.0.base.as_str())
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
    /// query or a fragment, and for a key that cannot be a header's value.
    pub fn build(self) -> Result<Endpoint, Error> {
        let base = base_url(&self.base_url)?;
        let authorization = authorization(self.key.as_deref())?;
        let headers = authorization.iter().map(|key| (AUTHORIZATION, key.clone()));
        let client = Client::builder()
            .tls_backend_preconfigured(tls::config(base.scheme() == "https", Stage::Generate)?)
            .default_headers(HeaderMap::from_iter(headers))
            // A redirect would carry the question, and perhaps the key, to who knows where.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Error::internal(Stage::Generate, error))?;
        let name = self.name.unwrap_or_else(|| base.host_str().unwrap_or_default().into());
        Ok(Endpoint(Arc::new(Inner {
            name,
            base,
            client,
            authorization,
            connect: self.connect,
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

fn base_url(text: &str) -> Result<Url, Error> {
    // The text itself stays out of the message: a mistaken one may hold a key.
    let wrong = |what: &str| {
        let message = format!(
            "the model base URL {what}: give http:// or https://, a host and a path, such as https://api.openai.com/v1"
        );
        Error::new(ErrorKind::InvalidInput, Stage::Generate).with_message(message)
    };
    let url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL"))?;
    match () {
        () if !matches!(url.scheme(), "http" | "https") => Err(wrong("has another scheme")),
        () if url.host_str().is_none_or(str::is_empty) => Err(wrong("has no host")),
        () if !url.username().is_empty() || url.password().is_some() => {
            Err(wrong("carries a user or password"))
        }
        () if url.query().is_some() || url.fragment().is_some() => Err(wrong("carries a query or fragment")),
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
    fn addresses_are_below_the_base_url() {
        for (base, address) in [
            ("http://localhost/v1", "http://localhost/v1/embeddings"),
            ("http://localhost:9/v1/", "http://localhost:9/v1/embeddings"),
            ("http://localhost", "http://localhost/embeddings"),
        ] {
            assert_eq!(Endpoint::builder(base).build().unwrap().url("/embeddings").as_str(), address);
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

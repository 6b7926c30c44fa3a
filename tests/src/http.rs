//! A small HTTP client for tests: whole answers, and server-sent events as they come.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Everything in a test ends within this, or the test fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    addr: SocketAddr,
    bearer: Option<String>,
    cookie: Option<String>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer that is still coming, as server-sent events.
pub struct Events {
    /// The status.
    pub status: StatusCode,
    body: Incoming,
    rest: Vec<u8>,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

// === impl Client ===

impl Client {
    /// A client without a credential.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { addr, bearer: None, cookie: None, pool: Pool::builder(TokioExecutor::new()).build(connector) }
    }

    /// The same with an `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.bearer = Some(token.to_owned());
        self
    }

    /// The same with a cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: &str) -> Self {
        self.cookie = Some(cookie.to_owned());
        self
    }

    /// The same with another server.
    #[must_use]
    pub fn at(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// A `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Full::default()).expect("request")).await
    }

    /// A `POST` of JSON, from the same origin.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string()).await
    }

    /// A `POST` of anything that calls itself JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(Full::new(body.into())).expect("request")).await
    }

    /// A `POST` whose answer is a stream of events.
    pub async fn events(&self, path: &str, body: &Value) -> Events {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(Full::from(body.to_string()))
            .expect("request");
        let answer = self.head(request).await;
        Events { status: answer.status(), body: answer.into_body(), rest: Vec::new() }
    }

    /// A `GET` whose answer is a stream of events.
    pub async fn follow(&self, path: &str) -> Events {
        let answer = self.head(self.request(Method::GET, path).body(Full::default()).expect("request")).await;
        Events { status: answer.status(), body: answer.into_body(), rest: Vec::new() }
    }

    /// Any request.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.head(request).await.into_parts();
        let body = tokio::time::timeout(DEADLINE, body.collect()).await.expect("the body took too long");
        Answer { status: parts.status, headers: parts.headers, body: body.expect("body").to_bytes() }
    }

    /// Any request; none when the server goes away before the whole answer has come.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let answer = tokio::time::timeout(DEADLINE, self.pool.request(request)).await;
        let (parts, body) = answer.expect("the answer took too long").ok()?.into_parts();
        let body = tokio::time::timeout(DEADLINE, body.collect()).await.expect("the body took too long");
        Some(Answer { status: parts.status, headers: parts.headers, body: body.ok()?.to_bytes() })
    }

    /// A request with this client's address and credentials.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr))
            .header("origin", format!("http://{}", self.addr));
        if let Some(token) = &self.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        request
    }

    async fn head(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let answer = tokio::time::timeout(DEADLINE, self.pool.request(request)).await;
        answer.expect("the answer took too long").expect("answer")
    }
}

// === impl Answer ===

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

// === impl Events ===

impl Events {
    /// The next event, comments left out; none at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.rest.drain(..end + 2).collect();
                match Event::parse(&String::from_utf8(frame).expect("UTF-8")) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame =
                tokio::time::timeout(DEADLINE, self.body.frame()).await.expect("an event took too long")?;
            self.rest.extend_from_slice(&frame.ok()?.into_data().unwrap_or_default());
        }
    }

    /// The events that are left.
    pub async fn all(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

// === impl Event ===

impl Event {
    fn parse(frame: &str) -> Option<Self> {
        let (mut name, mut data) = (None, String::new());
        for line in frame.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                name = Some(value.trim().to_owned());
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push_str(value.trim_start());
            }
        }
        Some(Self { name: name?, data: serde_json::from_str(&data).expect("JSON in an event") })
    }
}

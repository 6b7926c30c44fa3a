//! A model server that says what it is told to: chat completions (streamed or whole), embeddings and the list of models as
//! the OpenAI API has them on the wire, an order of passages as a reranker gives it, and the faults that real providers show.
//!
//! Each request takes the standing [`Reply`] of the model that it names, else the next scripted one; when none is left it
//! takes the standing one of all, and without that a short friendly answer. Requests are counted and kept, and a client that goes away before the end is noticed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The length of the vectors that the stub makes.
pub const DIMENSIONS: usize = 8;

/// The running server; dropping it closes it.
pub struct ModelStub {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Aborted when dropped.
    _server: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The path, such as `/v1/chat/completions`.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON body, or null when it was none.
    pub body: Value,
    /// The body, byte for byte.
    pub bytes: Bytes,
}

/// What a request gets.
#[derive(Clone, Debug)]
pub struct Reply {
    before: Option<Step>,
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    steps: Arc<[Step]>,
}

/// A piece of a response's body.
#[derive(Clone, Debug)]
pub enum Step {
    /// These bytes.
    Send(Bytes),
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing until somebody gives it a permit.
    Wait(Arc<Semaphore>),
    /// Nothing ever again.
    Hang,
    /// The connection breaks.
    Cut,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    standing: Mutex<Option<Reply>>,
    /// By the model that a request names.
    of_models: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Option<Vec<Recorded>>>,
    calls: AtomicUsize,
    aborts: AtomicUsize,
    aborted: Notify,
    called: Notify,
}

/// Counts an abort unless the response came to its end.
struct Guard {
    shared: Arc<Shared>,
    ended: bool,
}

// === impl ModelStub ===

impl ModelStub {
    /// Starts a stub on a free port that keeps every request.
    pub async fn start() -> Self {
        Self::with(Some(Vec::new())).await
    }

    /// Starts a stub on a free port that keeps no request: for benchmarks.
    pub async fn start_fast() -> Self {
        Self::with(None).await
    }

    async fn with(requests: Option<Vec<Recorded>>) -> Self {
        let shared = Arc::new(Shared { requests: Mutex::new(requests), ..Shared::default() });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/rerank", post(rerank))
            .route("/v1/models", get(models))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("TCP_NODELAY"));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("the stub serves") });
        Self { addr, shared, _server: server }
    }

    /// What a client takes as its base URL.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Queues replies for the next requests, in order.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared.script).extend(replies);
    }

    /// What every request gets once the script is empty.
    pub fn always(&self, reply: Reply) {
        *lock(&self.shared.standing) = Some(reply);
    }

    /// What every request for this model gets, whatever the script says.
    pub fn always_of(&self, model: &str, reply: Reply) {
        lock(&self.shared.of_models).insert(model.to_owned(), reply);
    }

    /// How many requests have come.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// The requests so far; none from a stub that keeps none.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone().unwrap_or_default()
    }

    /// The bodies of the requests for this model so far.
    #[must_use]
    pub fn requests_of(&self, model: &str) -> Vec<Value> {
        let bodies = self.requests().into_iter().map(|request| request.body);
        bodies.filter(|body| body["model"] == model).collect()
    }

    /// Waits until so many requests have come; panics when that takes ten seconds.
    pub async fn wait_for_calls(&self, n: usize) {
        let enough = async {
            loop {
                let changed = self.shared.called.notified();
                if self.calls() >= n {
                    return;
                }
                changed.await;
            }
        };
        timeout(Duration::from_secs(10), enough).await.expect("the requests should have come");
    }

    /// How many clients went away before their response's end.
    #[must_use]
    pub fn aborts(&self) -> usize {
        self.shared.aborts.load(Ordering::SeqCst)
    }

    /// Waits until `n` clients have gone away; panics when that takes ten seconds.
    pub async fn wait_for_aborts(&self, n: usize) {
        let enough = async {
            loop {
                let changed = self.shared.aborted.notified();
                if self.aborts() >= n {
                    return;
                }
                changed.await;
            }
        };
        timeout(Duration::from_secs(10), enough).await.expect("the clients should have gone away");
    }
}

// === impl Reply ===

impl Reply {
    /// A whole stream: the role, each piece of text, the finish reason, the usage, and `[DONE]`.
    #[must_use]
    pub fn chat(pieces: &[&str]) -> Self {
        let mut frames = vec![role()];
        frames.extend(pieces.iter().map(|piece| text(piece)));
        frames.extend([finish("stop"), usage(11, pieces.len() as u64), done()]);
        Self::stream(frames)
    }

    /// A stream of these frames and then its end.
    #[must_use]
    pub fn stream(frames: impl IntoIterator<Item = Bytes>) -> Self {
        Self::steps(frames.into_iter().map(Step::Send))
    }

    /// A stream of these steps and then its end.
    #[must_use]
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            before: None,
            status: StatusCode::OK,
            headers: vec![("content-type", "text/event-stream".into())],
            steps: steps.into_iter().collect(),
        }
    }

    /// One JSON document.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        let mut reply = Self::stream([Bytes::from(body.to_string())]);
        reply.headers = vec![("content-type", "application/json".into())];
        reply
    }

    /// A completion that is not streamed.
    #[must_use]
    pub fn whole(text: &str) -> Self {
        Self::json(&json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12},
        }))
    }

    /// A refusal with OpenAI's error object.
    #[must_use]
    pub fn refused(status: u16, code: &str, message: &str) -> Self {
        let error = json!({"error": {"message": message, "type": "error", "param": null, "code": code}});
        let mut reply = Self::json(&error);
        reply.status = StatusCode::from_u16(status).expect("a status");
        reply
    }

    /// Nothing, not even a status.
    #[must_use]
    pub fn never() -> Self {
        Self { before: Some(Step::Hang), ..Self::stream([]) }
    }

    /// The same reply, its status held back for a while.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.before = Some(Step::Pause(wait));
        self
    }

    /// The same reply with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The first frame of a stream: who speaks.
#[must_use]
pub fn role() -> Bytes {
    frame(&json!({"role": "assistant", "content": ""}), &Value::Null)
}

/// A frame with a piece of text.
#[must_use]
pub fn text(piece: &str) -> Bytes {
    frame(&json!({"content": piece}), &Value::Null)
}

/// The frame that says why the model stopped.
#[must_use]
pub fn finish(reason: &str) -> Bytes {
    frame(&json!({}), &json!(reason))
}

/// The frame with the usage, which has no choices.
#[must_use]
pub fn usage(input: u64, output: u64) -> Bytes {
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    data(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub",
        "choices": [], "usage": usage,
    }))
}

/// The end of a stream.
#[must_use]
pub fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// An event with this JSON.
#[must_use]
pub fn data(json: &Value) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

fn frame(delta: &Value, reason: &Value) -> Bytes {
    data(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": null,
    }))
}

async fn chat(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let streamed = body.windows(13).any(|part| part == b"\"stream\":true");
    shared.record(&uri, headers, &body);
    let friendly = || {
        if streamed { Reply::chat(&["Hello", " from", " here."]) } else { Reply::whole("Hello from here.") }
    };
    let reply = shared.next(&body).unwrap_or_else(friendly);
    respond(shared, reply).await
}

async fn embeddings(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.record(&uri, headers, &body);
    let reply = shared.next(&body).unwrap_or_else(|| vectors(&body));
    respond(shared, reply).await
}

async fn rerank(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.record(&uri, headers, &body);
    let reply = shared.next(&body).unwrap_or_else(|| reversed(&body));
    respond(shared, reply).await
}

async fn models(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    shared.record(&uri, headers, &Bytes::new());
    let model = json!({"id": "stub", "object": "model", "created": 1, "owned_by": "nobody"});
    respond(shared, Reply::json(&json!({"object": "list", "data": [model]}))).await
}

/// The last passage first.
fn reversed(body: &[u8]) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = body["documents"].as_array().map_or(0, Vec::len);
    let ranked =
        |(place, index): (usize, usize)| json!({"index": index, "relevance_score": 1.0 / (place + 1) as f64});
    Reply::json(&json!({"results": (0..count).rev().enumerate().map(ranked).collect::<Vec<_>>()}))
}

/// One vector a text, made of its bytes: equal texts have equal vectors. As numbers or packed, as is asked.
fn vectors(body: &[u8]) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let packed = body["encoding_format"] == "base64";
    let of = |(index, text): (usize, &Value)| {
        let mut vector = [0.01_f32; DIMENSIONS];
        for (at, byte) in text.as_str().unwrap_or_default().bytes().enumerate() {
            vector[at % DIMENSIONS] += f32::from(byte) / 255.0;
        }
        let embedding = if packed {
            json!(BASE64_STANDARD.encode(vector.map(f32::to_le_bytes).as_flattened()))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = body["input"].as_array().into_iter().flatten().enumerate().map(of).collect();
    Reply::json(
        &json!({"object": "list", "data": data, "model": "stub", "usage": {"prompt_tokens": 1, "total_tokens": 1}}),
    )
}

async fn respond(shared: Arc<Shared>, reply: Reply) -> Response {
    let guard = Guard { shared, ended: false };
    match reply.before {
        Some(Step::Hang) => std::future::pending().await,
        Some(Step::Pause(wait)) => sleep(wait).await,
        Some(Step::Wait(permits)) => taken(&permits).await,
        Some(Step::Send(_) | Step::Cut) | None => {}
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = stream::unfold((reply.steps, 0, guard), |(steps, at, mut guard)| async move {
        for (place, step) in steps.iter().enumerate().skip(at) {
            let item = match step {
                Step::Send(bytes) => Ok(bytes.clone()),
                Step::Pause(wait) => {
                    sleep(*wait).await;
                    continue;
                }
                Step::Wait(permits) => {
                    taken(permits).await;
                    continue;
                }
                Step::Hang => std::future::pending().await,
                Step::Cut => {
                    guard.end();
                    // What was sent so far must leave before the connection breaks.
                    tokio::task::yield_now().await;
                    Err(io::Error::from(io::ErrorKind::ConnectionAborted))
                }
            };
            return Some((item, (Arc::clone(&steps), place + 1, guard)));
        }
        guard.end();
        None
    });
    response.body(Body::from_stream(body)).expect("valid headers")
}

async fn taken(permits: &Semaphore) {
    permits.acquire().await.expect("nobody closes it").forget();
}

// === impl Shared ===

impl Shared {
    fn record(&self, uri: &Uri, headers: HeaderMap, bytes: &Bytes) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.called.notify_waiters();
        if let Some(requests) = lock(&self.requests).as_mut() {
            let body = serde_json::from_slice(bytes).unwrap_or_default();
            requests.push(Recorded { path: uri.path().to_owned(), headers, body, bytes: bytes.clone() });
        }
    }

    fn next(&self, body: &[u8]) -> Option<Reply> {
        let of_models = lock(&self.of_models);
        if !of_models.is_empty() {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            if let Some(reply) = body["model"].as_str().and_then(|model| of_models.get(model)) {
                return Some(reply.clone());
            }
        }
        drop(of_models);
        lock(&self.script).pop_front().or_else(|| lock(&self.standing).clone())
    }
}

// === impl Guard ===

impl Guard {
    fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.aborts.fetch_add(1, Ordering::SeqCst);
            self.shared.aborted.notify_waiters();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

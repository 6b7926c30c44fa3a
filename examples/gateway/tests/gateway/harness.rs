//! A running gateway and what it has written.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rag_tower::TenantId;
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::ModelStub;
use rag_tower_tests::postgres::TestDatabase;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Keys of two tenants, and the one that the gateway has at each provider.
pub(crate) const ACME: &str = "acme-key-of-the-test-0123456789abcdef";
pub(crate) const GLOBEX: &str = "globex-key-of-the-test-0123456789abcdef";
pub(crate) const UPSTREAM: &str = "sk-upstream-secret-0123456789";

/// The gateway; it is killed when a test ends early.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    /// Where its metrics are, when they were asked for.
    metrics: Option<SocketAddr>,
    child: Child,
    database: TestDatabase,
}

/// What the gateway left behind when it ended.
pub(crate) struct Left {
    /// Its rows, oldest first.
    pub(crate) rows: Vec<Value>,
    /// All that it printed.
    pub(crate) printed: String,
}

/// A connection of one client's: every frame as it comes, nothing retried.
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<Result<(), hyper::Error>>,
}

/// A whole answer, frame by frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Frames {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) frames: Vec<Bytes>,
}

// === impl Gateway ===

impl Gateway {
    /// One in front of a provider.
    pub(crate) async fn before(stub: &ModelStub) -> Self {
        Self::start(&[("OPENAI_BASE_URL", &stub.base_url())]).await
    }

    /// One in front of two.
    pub(crate) async fn before_two(first: &str, second: &ModelStub) -> Self {
        let second = second.base_url();
        Self::start(&[
            ("OPENAI_BASE_URL", first),
            ("FALLBACK_BASE_URL", &second),
            ("FALLBACK_API_KEY", UPSTREAM),
            ("FALLBACK_MODEL", "spare"),
        ])
        .await
    }

    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::empty().await;
        let login = format!("gateway_{}", uuid::Uuid::now_v7().simple());
        let make = format!(
            "CREATE ROLE {login} LOGIN PASSWORD 'x' NOSUPERUSER NOCREATEROLE;
             DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {login}', current_database()); END $$"
        );
        database.run_as_admin(&make).await;
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env("GATEWAY_ADDR", "127.0.0.1:0")
            .env("DATABASE_URL", database.url_of(&login, "x"))
            .env("GATEWAY_KEYS", format!("acme={ACME}, globex={GLOBEX}"))
            .env("GATEWAY_PRICES", "stub=1000000/2000000, spare=0/0")
            .env("OPENAI_API_KEY", UPSTREAM)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut next = || lines.next().map(Result::unwrap).unwrap_or_default();
        let address = |line: &str, what: &str, path: &str| {
            let addr = line.strip_prefix(what)?.strip_prefix(" on http://")?.strip_suffix(path)?;
            Some(addr.parse().unwrap())
        };
        let mut line = next();
        let metrics = address(&line, "metrics", "/metrics");
        if metrics.is_some() {
            line = next();
        }
        let Some(addr) = address(&line, "listening", "/v1") else {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("the gateway did not start: {line}{why}");
        };
        Self { addr, metrics, child, database }
    }

    /// What its metrics listener says.
    pub(crate) async fn scrape(&self) -> String {
        Client::new(self.metrics.unwrap()).get("/metrics").await.text()
    }

    /// A client with a key.
    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(self.addr).bearer(key)
    }

    /// Ends it as an operator ends it, which writes what is to be written.
    pub(crate) async fn stop(mut self) -> Left {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let (mut printed, mut errors) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(self.child.wait().unwrap().success(), "{errors}");
        let mut admin = self.database.admin().await;
        let rows =
            sqlx::query_scalar("SELECT to_jsonb(t) FROM rag_tower.request_traces t ORDER BY ts, trace_id")
                .fetch_all(&mut admin)
                .await
                .unwrap();
        Left { rows, printed: printed + &errors }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Left ===

impl Left {
    /// One column of all rows.
    pub(crate) fn column(&self, name: &str) -> Vec<Value> {
        self.rows.iter().map(|row| row[name].clone()).collect()
    }

    /// The only row.
    pub(crate) fn row(&self) -> &Value {
        assert_eq!(self.rows.len(), 1, "{:?}", self.rows);
        &self.rows[0]
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { sender, _driver: driver }
    }

    /// The head of an answer, its body still to come.
    pub(crate) async fn head(&mut self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        timeout(DEADLINE, self.sender.send_request(request)).await.expect("the answer took too long").unwrap()
    }

    /// The whole answer.
    pub(crate) async fn whole(&mut self, request: Request<Full<Bytes>>) -> Frames {
        let (parts, mut body) = self.head(request).await.into_parts();
        let mut frames = Vec::new();
        while let Some(frame) = next(&mut body).await {
            frames.push(frame.expect("a whole body"));
        }
        Frames { status: parts.status, headers: parts.headers, frames }
    }
}

/// The next frame of a body.
pub(crate) async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = timeout(DEADLINE, body.frame()).await.expect("a frame took too long")?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// A request with a key.
pub(crate) fn post(key: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "gateway.test")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(body.into()))
        .unwrap()
}

/// The body of a question.
pub(crate) fn chat(question: &str, streamed: bool) -> Value {
    json!({"model": "stub", "stream": streamed, "messages": [{"role": "user", "content": question}]})
}

/// The path of it.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A tenant's id, as a row has it.
pub(crate) fn tenant(slug: &str) -> Value {
    json!(TenantId::named(slug))
}

//! Two servers on one Postgres and one Qdrant, replaced one after the other while clients keep asking.
//!
//! The clients are the strictest there are: each keeps its connection, and nobody tries anything twice. What stands
//! between them and the servers is what a balancer does: it asks `/readyz`, and sends new requests to who is ready.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::postgres::TestDatabase;
use rag_tower_tests::qdrant::Qdrant;
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, timeout};

use super::{BINARY, done};

/// The most that a server takes after `RAG_TOWER_STOP_DELAY`: 20 s for answers in flight, and what comes after them.
pub(super) const DOWN: Duration = Duration::from_secs(60);
/// For how long a server that leaves still answers. The balancer below notices within a small part of it.
const DELAY: Duration = Duration::from_secs(5);
/// How often the balancer asks.
const PROBE: Duration = Duration::from_millis(50);
const CLIENTS: usize = 6;
/// Asks of every client between two steps of the roll.
const BETWEEN: usize = 8;
/// After so many asks a client goes to the next server, so that between two steps each has been to all.
const STAY: usize = 3;
const KEY: &str = "key-of-acme-that-is-long-enough-0123456789";
/// The question, each time as nobody has asked it before, so that no cache answers; what tells them apart is no word.
fn question() -> String {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    let marks: String = (0..20).map(|bit| if n >> bit & 1 == 0 { '?' } else { '!' }).collect();
    // not at its end, which a cache does not look at
    format!("When does {marks} the observatory open?")
}

/// Who is ready, and what was answered.
struct Fleet {
    ready: watch::Sender<Vec<SocketAddr>>,
    answered: Mutex<Answered>,
}

#[derive(Default)]
struct Answered {
    traces: BTreeSet<String>,
    by_client: [usize; CLIENTS],
    by_server: BTreeSet<SocketAddr>,
}

/// One client with one connection.
struct Caller {
    number: usize,
    connection: Option<(SocketAddr, Connection)>,
}

// === impl Fleet ===

impl Fleet {
    /// Sends requests to a server for as long as it says that it is ready. Returns when it is not any more.
    async fn balance(self: Arc<Self>, server: SocketAddr, metrics: SocketAddr) {
        let probe = Client::new(metrics);
        let mut ticks = interval(PROBE);
        loop {
            ticks.tick().await;
            let request = probe.request(http::Method::GET, "/readyz").body(Full::default()).unwrap();
            let ready = probe.try_send(request).await.is_some_and(|answer| answer.status == 200);
            self.ready.send_if_modified(|all| {
                let known = all.contains(&server);
                all.retain(|other| ready || *other != server);
                if ready && !known {
                    all.push(server);
                }
                ready != known
            });
            if !ready {
                return;
            }
        }
    }

    /// Waits until every client has had some more answers.
    async fn go_on(&self) {
        let counts = || self.answered.lock().unwrap().by_client;
        let before = counts();
        let enough = async {
            let mut ticks = interval(PROBE);
            while counts().iter().zip(before).any(|(now, before)| *now < before + BETWEEN) {
                ticks.tick().await;
            }
        };
        timeout(DEADLINE, enough).await.expect("a client gets no answers");
    }

    async fn wait_for(&self, wanted: impl Fn(&[SocketAddr]) -> bool) {
        let mut ready = self.ready.subscribe();
        let found = async { drop(ready.wait_for(|all| wanted(all)).await.unwrap()) };
        timeout(DEADLINE, found).await.expect("the balancer notices nothing");
    }
}

// === impl Caller ===

impl Caller {
    /// Asks until it is told to stop. Whatever goes wrong is the end of it.
    async fn keep_asking(mut self, fleet: Arc<Fleet>, stop: watch::Receiver<bool>) -> Result<(), String> {
        for n in 0_usize.. {
            if *stop.borrow() {
                break;
            }
            let ready = fleet.ready.borrow().clone();
            let kept = self.connection.take();
            let kept = kept.filter(|(server, _)| !n.is_multiple_of(STAY) && ready.contains(server));
            let (server, mut connection) = match kept {
                Some(kept) => kept,
                None => {
                    let server = ready[(self.number + n / STAY) % ready.len()];
                    (
                        server,
                        connect(server).await.map_err(|error| format!("{server}: no connection: {error}"))?,
                    )
                }
            };
            let streamed = (self.number + n).is_multiple_of(2);
            let (trace, stays) = ask(&mut connection, streamed)
                .await
                .map_err(|error| format!("{server}, ask {n} of {}: {error}", self.number))?;
            if stays {
                self.connection = Some((server, connection));
            }
            let mut answered = fleet.answered.lock().unwrap();
            assert!(answered.traces.insert(trace), "two answers with one id");
            answered.by_client[self.number] += 1;
            answered.by_server.insert(server);
        }
        Ok(())
    }
}

/// A connection, and the task that drives it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<hyper::Result<()>>,
}

async fn connect(server: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Ok(Connection { sender, _driver: driver })
}

async fn send(connection: &mut Connection, streamed: bool) -> Result<Response<Incoming>, String> {
    let request = Request::post("/query")
        .header(header::HOST, "balancer")
        .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, if streamed { "text/event-stream" } else { "application/json" })
        .body(Full::from(json!({ "question": question() }).to_string()))
        .unwrap();
    connection.sender.ready().await.map_err(|error| format!("the connection is closed: {error}"))?;
    let answer = timeout(DEADLINE, connection.sender.send_request(request)).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    if answer.status() == 200 { Ok(answer) } else { Err(format!("status {}", answer.status())) }
}

/// The id of the answer's trace, and whether its connection stays.
async fn ask(connection: &mut Connection, streamed: bool) -> Result<(String, bool), String> {
    let answer = send(connection, streamed).await?;
    let stays = answer.headers().get(header::CONNECTION).is_none_or(|value| value != "close");
    let body = timeout(DEADLINE, answer.into_body().collect()).await.map_err(|_| "no end".to_owned())?;
    let body = body.map_err(|error| format!("cut off: {error}"))?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    Ok((if streamed { trace_of_stream(&text)? } else { trace_of(&text)? }, stays))
}

fn trace_of(json: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| format!("{error}: {json}"))?;
    value["trace_id"].as_str().map(str::to_owned).ok_or_else(|| format!("no trace: {json}"))
}

/// A stream is whole when it has its end.
fn trace_of_stream(events: &str) -> Result<String, String> {
    let end = events.split("\n\n").find(|event| event.contains("event: end") || event.contains("event:end"));
    let end = end.ok_or_else(|| format!("a stream without its end: {events}"))?;
    let data = end.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
    trace_of(data.trim())
}

/// How every server of the fleet is started; each asks the model by another name, so that the stub knows it.
fn setup(database: &TestDatabase, qdrant: &Qdrant, stub: &ModelStub, model: &str) -> Setup {
    Setup::new(BINARY)
        .env("DATABASE_URL", database.app_url())
        .env("QDRANT_URL", qdrant.url())
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", model)
        .env("JWT_SECRET", "a-secret-that-all-servers-of-the-fleet-share")
        .env("RAG_TOWER_STOP_DELAY", DELAY.as_secs().to_string())
}

async fn start(setup: Setup) -> Server {
    spawn_blocking(|| setup.start()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_replaced_while_clients_keep_asking_and_nothing_fails_or_is_lost() {
    let (database, qdrant, stub) =
        (TestDatabase::migrated().await, Qdrant::start().await, ModelStub::start_fast().await);
    database.register("acme", KEY).await;
    let pause = Step::Pause(Duration::from_millis(20));
    let piece = |text: &str| Step::Send(model_stub::text(text));
    let start_of = [Step::Send(model_stub::role()), piece("It opens "), pause, piece("at nine [1].")];
    let end_of = [model_stub::finish("stop"), model_stub::usage(11, 2), model_stub::done()].map(Step::Send);
    stub.always(Reply::steps(start_of.into_iter().chain(end_of.clone())));

    let (ready, _) = watch::channel(Vec::new());
    let fleet = Arc::new(Fleet { ready, answered: Mutex::default() });
    let mut probes = JoinSet::new();
    let mut servers = Vec::new();
    for model in ["first", "second"] {
        let server = start(setup(&database, &qdrant, &stub, model)).await;
        probes.spawn(Arc::clone(&fleet).balance(server.addr, server.metrics));
        servers.push((server, model));
    }
    take_in(&database, &qdrant, &stub, &servers[0].0).await;
    fleet.wait_for(|all| all.len() == 2).await;

    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for number in 0..CLIENTS {
        let caller = Caller { number, connection: None };
        callers.spawn(caller.keep_asking(Arc::clone(&fleet), stopped.clone()));
    }
    fleet.go_on().await;

    let mut kept = Vec::new();
    for model in ["third", "fourth"] {
        let next = start(setup(&database, &qdrant, &stub, model)).await;
        probes.spawn(Arc::clone(&fleet).balance(next.addr, next.metrics));
        fleet.wait_for(|all| all.contains(&next.addr)).await;
        let (old, old_model) = servers.remove(0);
        servers.push((next, model));
        fleet.go_on().await;

        // an answer that is under way for longer than the server goes on answering new questions
        let long = [
            Step::Send(model_stub::role()),
            piece("It opens "),
            Step::Pause(DELAY + Duration::from_secs(2)),
            piece("at nine [1]."),
        ];
        stub.always_of(old_model, Reply::steps(long.into_iter().chain(end_of.clone())));
        let mut connection = connect(old.addr).await.unwrap();
        let under_way = send(&mut connection, true).await.unwrap();

        let told = Instant::now();
        old.signal("TERM");
        fleet.wait_for(|all| !all.contains(&old.addr)).await;
        // the balancer knows, others may not yet: they are answered, and told to go elsewhere
        let mut late = connect(old.addr).await.expect("it still listens");
        let (trace, stays) = ask(&mut late, false).await.unwrap();
        assert!(!stays, "the connection ends with its answer");
        fleet.answered.lock().unwrap().traces.insert(trace);

        let text = timeout(DEADLINE, under_way.into_body().collect()).await.unwrap().unwrap().to_bytes();
        let trace = trace_of_stream(&String::from_utf8_lossy(&text)).unwrap();
        let lasted = told.elapsed();
        assert!(
            lasted >= DELAY,
            "it was under way when the server had stopped listening: {lasted:?}, {text:?}"
        );
        fleet.answered.lock().unwrap().traces.insert(trace);
        let (status, output, data) = spawn_blocking(|| old.wait()).await.unwrap();
        assert!(status.success(), "{status}:\n{output}");
        assert!(!output.contains("ERROR") && !output.contains("still in flight"), "{output}");
        let took = told.elapsed();
        assert!(took < DELAY + DOWN, "{took:?}");
        kept.push(data);
        fleet.go_on().await;
    }

    stop.send_replace(true);
    for ended in callers.join_all().await {
        ended.expect("nothing fails while servers are replaced");
    }
    for (server, _) in servers {
        let (status, output, data) = spawn_blocking(|| server.stop()).await.unwrap();
        assert!(status.success(), "{status}:\n{output}");
        kept.push(data);
    }
    probes.join_all().await;
    let answered = std::mem::take(&mut *fleet.answered.lock().unwrap());
    assert_eq!(answered.by_server.len(), 4, "every server had its part");
    let mut admin = database.admin().await;
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT trace_id::text FROM rag_tower.request_traces WHERE status = 'SUCCESS'")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert_eq!(rows.len(), answered.traces.len(), "one row for each answer, and no other");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), answered.traces);
}

/// A document through one of the servers; the others find it where all of them look.
async fn take_in(database: &TestDatabase, qdrant: &Qdrant, stub: &ModelStub, server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("observatory.md");
    std::fs::write(
        &file,
        "# Observatory\n\nWhen does the observatory open? It opens at nine in the evening.\n",
    )
    .unwrap();
    let setup = setup(database, qdrant, stub, "stub").on(&server.data);
    let mut ingest = setup.command(&["ingest", file.to_str().unwrap(), "--tenant", "acme"]);
    ingest.stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn_blocking(move || done(&mut ingest)).await.unwrap();
}

//! Those who use the server: each asks, waits a little, and asks again, until told to stop.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rag_tower_tests::figures::quantile;
use rag_tower_tests::frames::{Frames, text_of};
use rag_tower_tests::http::Client;
use rag_tower_tests::load::Connection;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::judge::Rows;

/// Who there is.
const ASKERS: usize = 6;
const LISTENERS: usize = 3;
const LEAVERS: usize = 2;
const OWNERS: usize = 1;
/// How long somebody who asks waits before the next question; the owner waits ten times as long.
const PAUSE: Duration = Duration::from_millis(40);
/// Turns of a conversation.
const TURNS: u64 = 5;
/// Connections that fill the caches.
const FILLERS: usize = 16;

/// Questions: of the centre, of this documentation, and one for a person.
const QUESTIONS: [&str; 6] = [
    "Trung tâm có chính sách hoàn học phí không?",
    "Học phí khoá IELTS là bao nhiêu?",
    "Which courses are there for children?",
    "How does a trace reach Postgres?",
    "What keeps tenants apart?",
    "Khi nào khai giảng khoá TOEIC?",
];
const HAND_OFF: &str = "Tôi muốn gặp tư vấn viên, số của tôi là 0912345678";
/// What the owner reads.
const READS: [&str; 8] = [
    "/owner/api/metrics",
    "/owner/api/metrics/timeseries",
    "/owner/api/logs?limit=50",
    "/owner/api/logs/facets",
    "/owner/api/handoffs?status=new",
    "/owner/api/feedback",
    "/owner/api/usage",
    "/owner/api/system",
];

/// Where and as whom.
pub(crate) struct World {
    addr: SocketAddr,
    keys: Vec<String>,
    owner: Client,
    next: AtomicU64,
}

/// What clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Since it was last taken.
    now: Mutex<Now>,
    /// Every ask by its number: whether it was accepted, which is not known of all.
    asks: Mutex<HashMap<u64, bool>>,
}

/// What clients saw since it was last taken.
#[derive(Default)]
pub(crate) struct Now {
    times: Vec<Duration>,
    pub(crate) asks: usize,
    pub(crate) streams: usize,
    pub(crate) left: usize,
    pub(crate) others: usize,
    pub(crate) failed: usize,
}

/// Running clients.
pub(crate) struct Clients {
    stop: watch::Sender<bool>,
    all: JoinSet<()>,
}

/// One who asks: a connection of its own, as one tenant at a time.
struct Asker {
    world: Arc<World>,
    seen: Arc<Seen>,
    connection: Option<Connection>,
    session: Option<Value>,
    turn: u64,
}

/// Sends as many different questions as are asked for, as fast as it goes.
pub(crate) async fn fill(world: &Arc<World>, seen: &Arc<Seen>, questions: usize) {
    let mut all = JoinSet::new();
    for n in 0..FILLERS {
        let mut asker = Asker::new(world, seen);
        all.spawn(async move {
            for at in (n..questions).step_by(FILLERS) {
                let key = asker.world.key(at as u64);
                let question = format!("{} ({at})", QUESTIONS[at % QUESTIONS.len()]);
                asker.ask(&key, &question).await;
            }
        });
    }
    all.join_all().await;
    let failed = seen.take().failed;
    if failed > 0 {
        eprintln!("{failed} of {questions} questions FAILED");
    }
}

/// Starts everybody.
pub(crate) fn start(world: &Arc<World>, seen: &Arc<Seen>) -> Clients {
    let (stop, stopped) = watch::channel(false);
    let mut all = JoinSet::new();
    for n in 0..ASKERS + LISTENERS + LEAVERS {
        let (mut asker, mut stopped) = (Asker::new(world, seen), stopped.clone());
        all.spawn(async move {
            while !*stopped.borrow() {
                match n {
                    n if n < ASKERS => asker.converse(n as u64).await,
                    n if n < ASKERS + LISTENERS => asker.listen(false).await,
                    _ => asker.listen(true).await,
                }
                let _ = tokio::time::timeout(PAUSE, stopped.changed()).await;
            }
        });
    }
    for _ in 0..OWNERS {
        let (world, seen, mut stopped) = (Arc::clone(world), Arc::clone(seen), stopped.clone());
        all.spawn(async move {
            for at in (0..READS.len()).cycle() {
                if *stopped.borrow() {
                    return;
                }
                let answer = world.owner.get(READS[at]).await;
                if answer.status != StatusCode::OK {
                    eprintln!("{}: {}: {}", READS[at], answer.status, answer.text());
                }
                seen.note(|now| {
                    now.others += 1;
                    now.failed += usize::from(answer.status != StatusCode::OK);
                });
                let _ = tokio::time::timeout(10 * PAUSE, stopped.changed()).await;
            }
        });
    }
    Clients { stop, all }
}

// === impl Clients ===

impl Clients {
    /// Lets everybody finish what they do.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        self.all.join_all().await;
    }
}

// === impl World ===

impl World {
    pub(crate) fn new(addr: SocketAddr, keys: Vec<String>, owner: Client) -> Self {
        Self { addr, keys, owner, next: AtomicU64::new(0) }
    }

    fn key(&self, n: u64) -> String {
        self.keys[n as usize % self.keys.len()].clone()
    }

    fn post(&self, path: &str, key: &str) -> http::request::Builder {
        Request::post(path)
            .header("host", self.addr.to_string())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
    }
}

// === impl Asker ===

impl Asker {
    fn new(world: &Arc<World>, seen: &Arc<Seen>) -> Self {
        let (world, seen) = (Arc::clone(world), Arc::clone(seen));
        Self { world, seen, connection: None, session: None, turn: 0 }
    }

    /// A turn of a conversation: often a question that others ask too, at times one for a person; at times with feedback.
    async fn converse(&mut self, n: u64) {
        // a client is one tenant's for a conversation
        let key = self.world.key(n + self.turn / TURNS);
        if self.turn.is_multiple_of(TURNS) {
            self.session = None;
        }
        self.turn += 1;
        let question = match self.turn % 20 {
            0 => HAND_OFF.to_owned(),
            1..10 => QUESTIONS[self.turn as usize % QUESTIONS.len()].to_owned(),
            _ => format!("{} ({} {n})", QUESTIONS[self.turn as usize % QUESTIONS.len()], self.turn),
        };
        let Some(answer) = self.ask(&key, &question).await else { return };
        self.session = answer.get("session_id").cloned();
        if self.turn.is_multiple_of(4) {
            self.rate(&key, &answer["trace_id"], if self.turn.is_multiple_of(3) { -1 } else { 1 }).await;
        }
    }

    /// A whole answer; none when it failed.
    async fn ask(&mut self, key: &str, question: &str) -> Option<Value> {
        let body = json!({"question": question, "session_id": self.session});
        let (number, request) = self.request(key, &body, false);
        let began = Instant::now();
        let answer = self.send(request).await;
        let accepted = matches!(&answer, Some((StatusCode::OK, _)));
        self.seen.ask(number, accepted);
        self.seen.note(|now| {
            now.asks += 1;
            now.failed += usize::from(!accepted);
            now.times.push(began.elapsed());
        });
        match answer {
            Some((StatusCode::OK, body)) => serde_json::from_slice(&body).ok(),
            other => {
                eprintln!("an ask failed: {other:?}");
                None
            }
        }
    }

    async fn rate(&mut self, key: &str, trace: &Value, rating: i64) {
        let body = json!({"trace_id": trace, "rating": rating});
        let request = self.world.post("/feedback", key).body(body.to_string().into()).expect("a request");
        let answer = self.send(request).await;
        let kept = matches!(answer, Some((StatusCode::NO_CONTENT, _)));
        if !kept {
            eprintln!("feedback failed: {answer:?}");
        }
        self.seen.note(|now| {
            now.others += 1;
            now.failed += usize::from(!kept);
        });
    }

    /// A stream, to its end, or left at its first piece or, each fourth time, before any.
    async fn listen(&mut self, leave: bool) {
        self.turn += 1;
        let key = self.world.key(self.turn);
        let question =
            format!("{} ({} of a stream)", QUESTIONS[self.turn as usize % QUESTIONS.len()], self.turn);
        let (number, request) = self.request(&key, &json!({ "question": question }), true);
        if leave && self.turn.is_multiple_of(4) {
            let sent = self.head(request);
            // nothing is known of an ask that is left this early
            let known =
                tokio::time::timeout(Duration::from_micros(500), sent).await.is_ok_and(|head| head.is_some());
            self.seen.ask(number, known);
            self.seen.note(|now| now.left += 1);
            self.connection = None;
            return;
        }
        let Some(answer) = self.head(request).await.filter(|answer| answer.status() == StatusCode::OK) else {
            eprintln!("a stream failed");
            self.connection = None;
            self.seen.ask(number, false);
            return self.seen.note(|now| now.failed += 1);
        };
        self.seen.ask(number, true);
        let (mut body, mut frames, mut ended) = (answer.into_body(), Frames::default(), false);
        while let Some(Ok(part)) = body.frame().await {
            let frames = frames.push(&part.into_data().unwrap_or_default());
            ended |= frames.iter().any(|frame| frame.starts_with("event: end"));
            if leave && frames.iter().any(|frame| text_of(frame).is_some()) {
                break;
            }
        }
        if leave {
            self.connection = None;
        }
        self.seen.note(|now| {
            now.left += usize::from(leave);
            now.streams += usize::from(!leave);
            now.failed += usize::from(!leave && !ended);
        });
    }

    /// An ask with a number of its own.
    fn request(&self, key: &str, body: &Value, stream: bool) -> (u64, Request<Bytes>) {
        let number = self.world.next.fetch_add(1, Ordering::Relaxed);
        let mut request = self.world.post("/query", key).header("x-request-id", format!("soak-{number}"));
        if stream {
            request = request.header("accept", "text/event-stream");
        }
        (number, request.body(body.to_string().into()).expect("a request"))
    }

    async fn send(&mut self, request: Request<Bytes>) -> Option<(StatusCode, Bytes)> {
        let answer = self.head(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.ok();
        if body.is_none() {
            self.connection = None;
        }
        Some((status, body?.to_bytes()))
    }

    /// The head of an answer, over a connection that is made where there is none.
    async fn head(&mut self, request: Request<Bytes>) -> Option<http::Response<hyper::body::Incoming>> {
        if self.connection.is_none() {
            self.connection = Connection::open(self.world.addr).await;
        }
        let answer = self.connection.as_mut()?.send(request).await;
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }
}

// === impl Seen ===

impl Seen {
    /// What was seen since this was last called.
    pub(crate) fn take(&self) -> Now {
        let mut now = std::mem::take(&mut *lock(&self.now));
        now.times.sort_unstable();
        now
    }

    /// Compares with the rows, given how many each ask has.
    pub(crate) fn compare<'a>(&self, found: impl Iterator<Item = (&'a str, i64)>) -> Rows {
        let rows: HashMap<u64, i64> =
            found.filter_map(|(id, count)| Some((id.strip_prefix("soak-")?.parse().ok()?, count))).collect();
        let asks = lock(&self.asks);
        let accepted = asks.values().filter(|accepted| **accepted).count();
        let lost = asks.iter().filter(|(number, accepted)| **accepted && !rows.contains_key(number)).count();
        let double = rows.values().filter(|count| **count > 1).count();
        Rows { accepted, lost, double, unknown: asks.len() - accepted }
    }

    fn ask(&self, number: u64, accepted: bool) {
        lock(&self.asks).insert(number, accepted);
    }

    fn note(&self, change: impl FnOnce(&mut Now)) {
        change(&mut lock(&self.now));
    }
}

// === impl Now ===

impl Now {
    /// Of the time that whole answers took, in milliseconds.
    pub(crate) fn quantile(&self, p: f64) -> f64 {
        quantile(&self.times, p).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

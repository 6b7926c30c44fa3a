//! A closed-loop load generator: as many connections as asked for, each with one request in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::quantile;

/// After an answer that did not come a client waits this long, so that a server that is gone is not asked in a loop.
const BREATH: Duration = Duration::from_millis(10);

/// What one run measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Answers a second.
    pub rps: f64,
    /// Half of the answers came within this.
    pub p50: Duration,
    /// Ninety-nine of a hundred answers came within this.
    pub p99: Duration,
    /// Requests sent, those of the warm-up included.
    pub sent: usize,
    /// Answers whose status was not 200, or that did not come.
    pub failed: usize,
}

/// An HTTP/1.1 connection that sends at once what is written.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection; aborted when dropped.
    _driver: JoinSet<hyper::Result<()>>,
}

/// Sends requests over `connections` connections for `length`, after a tenth of it as a warm-up. `request` makes the
/// n-th one, so that none needs to be the same as another.
pub async fn run<F>(addr: SocketAddr, connections: usize, length: Duration, request: F) -> Report
where
    F: Fn(u64) -> Request<Bytes> + Clone + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    run_each(addr, connections, length, move |_| {
        let (request, next) = (request.clone(), Arc::clone(&next));
        move |_: &Bytes| request(next.fetch_add(1, Ordering::Relaxed))
    })
    .await
}

/// The same with a maker of requests for each connection, by its number, which is given the answer before (empty at first, and
/// after one that failed).
pub async fn run_each<M, F>(addr: SocketAddr, connections: usize, length: Duration, maker: M) -> Report
where
    M: Fn(usize) -> F,
    F: FnMut(&Bytes) -> Request<Bytes> + Send + 'static,
{
    let warm = Instant::now() + length / 10;
    let end = warm + length;
    let mut clients = JoinSet::new();
    for n in 0..connections {
        clients.spawn(client(addr, warm, end, maker(n)));
    }
    let (mut times, mut sent, mut failed) = (Vec::new(), 0, 0);
    while let Some(done) = clients.join_next().await {
        let (mut its, all, bad) = done.expect("a client panicked");
        times.append(&mut its);
        sent += all;
        failed += bad;
    }
    times.sort_unstable();
    Report {
        rps: times.len() as f64 / length.as_secs_f64(),
        p50: quantile(&times, 0.50).unwrap_or_default(),
        p99: quantile(&times, 0.99).unwrap_or_default(),
        sent,
        failed,
    }
}

async fn client(
    addr: SocketAddr,
    warm: Instant,
    end: Instant,
    mut request: impl FnMut(&Bytes) -> Request<Bytes>,
) -> (Vec<Duration>, usize, usize) {
    let (mut connection, mut before) = (None, Bytes::new());
    let (mut times, mut sent, mut failed) = (Vec::new(), 0, 0);
    loop {
        let began = Instant::now();
        if began >= end {
            return (times, sent, failed);
        }
        sent += 1;
        match answer(&mut connection, addr, request(&before)).await {
            Some((status, body)) => {
                if began >= warm {
                    times.push(began.elapsed());
                }
                failed += usize::from(status != StatusCode::OK);
                before = body;
            }
            None => {
                failed += 1;
                (connection, before) = (None, Bytes::new());
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// One whole answer, over a connection that is made when there is none; none when it does not come.
async fn answer(
    connection: &mut Option<Connection>,
    addr: SocketAddr,
    request: Request<Bytes>,
) -> Option<(StatusCode, Bytes)> {
    if connection.is_none() {
        *connection = Connection::open(addr).await;
    }
    let answer = connection.as_mut()?.send(request).await?;
    let status = answer.status();
    Some((status, answer.into_body().collect().await.ok()?.to_bytes()))
}

// === impl Connection ===

impl Connection {
    /// Connects; none when nobody listens.
    pub async fn open(addr: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(addr).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Some(Self { sender, _driver: driver })
    }

    /// The head of an answer; none when the server goes away.
    pub async fn send(&mut self, request: Request<Bytes>) -> Option<http::Response<hyper::body::Incoming>> {
        self.sender.ready().await.ok()?;
        self.sender.send_request(request.map(Full::new)).await.ok()
    }
}

//! A closed-loop load generator: as many connections as asked for, each with one request in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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
    /// Answers whose status was not 200.
    pub failed: usize,
}

/// Sends requests over `connections` connections for `length`, after a tenth of it as a warm-up. `request` makes the
/// n-th one, so that none needs to be the same as another.
pub async fn run<F>(addr: SocketAddr, connections: usize, length: Duration, request: F) -> Report
where
    F: Fn(u64) -> Request<Bytes> + Clone + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let warm = began + length / 10;
    let end = warm + length;
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(addr, warm, end, request.clone(), Arc::clone(&next)));
    }
    let mut times = Vec::new();
    let mut failed = 0;
    while let Some(done) = clients.join_next().await {
        let (mut its, bad) = done.expect("a client panicked");
        times.append(&mut its);
        failed += bad;
    }
    times.sort_unstable();
    let at = |p: f64| times.get(((times.len() as f64 - 1.0) * p) as usize).copied().unwrap_or_default();
    Report {
        rps: times.len() as f64 / length.as_secs_f64(),
        p50: at(0.50),
        p99: at(0.99),
        sent: next.load(Ordering::Relaxed) as usize,
        failed,
    }
}

async fn client<F>(
    addr: SocketAddr,
    warm: Instant,
    end: Instant,
    request: F,
    next: Arc<AtomicU64>,
) -> (Vec<Duration>, usize)
where
    F: Fn(u64) -> Request<Bytes>,
{
    let stream = TcpStream::connect(addr).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (mut times, mut failed) = (Vec::new(), 0);
    loop {
        let began = Instant::now();
        if began >= end {
            return (times, failed);
        }
        let answer = sender
            .send_request(request(next.fetch_add(1, Ordering::Relaxed)).map(Full::new))
            .await
            .expect("answer");
        let status = answer.status();
        answer.into_body().collect().await.expect("body");
        if began >= warm {
            times.push(began.elapsed());
            failed += usize::from(status != StatusCode::OK);
        }
    }
}

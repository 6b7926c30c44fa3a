//! A running peer: where it is asked, and what its processes cost.

use std::any::Any;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::StatusCode;
use http_body_util::BodyExt;
use rag_tower_tests::load::Connection;
use rag_tower_tests::processor::{processor_us, resident_mb, shared_out_mb};

use crate::asks::Asks;
use crate::stub::pieces;

/// How long a peer may take to answer for the first time.
const START: Duration = Duration::from_secs(180);

/// A running peer; ended when dropped.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Its version, and how it is run.
    pub(crate) described: String,
    pub(crate) addr: SocketAddr,
    pub(crate) asks: Asks,
    /// True of those that are asked within conversations too.
    pub(crate) talks: bool,
    /// From its start to its first answer.
    pub(crate) start: Duration,
    pub(crate) processes: Processes,
    /// Ended in this order.
    pub(crate) _keep: Vec<Box<dyn Any>>,
}

/// Whose time and memory a peer's are.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    pub(crate) pid: u32,
    /// Its children are its database, not itself.
    pub(crate) keeps_children: bool,
    /// Databases that are not its children.
    pub(crate) stores: Vec<u32>,
}

/// Something of the program itself, and of its databases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) own: f64,
    pub(crate) stores: f64,
}

// === impl Processes ===

impl Processes {
    /// A program that is all of its processes.
    pub(crate) const fn of(pid: u32) -> Self {
        Self { pid, keeps_children: false, stores: Vec::new() }
    }

    /// Processor time so far, in milliseconds.
    pub(crate) fn processor_ms(&self) -> Parts {
        let Parts { own, stores } = self.parts(processor_us, processor_us);
        Parts { own: own / 1000.0, stores: stores / 1000.0 }
    }

    /// Resident memory in MB. That of databases is counted with what their processes share counted once.
    pub(crate) fn memory_mb(&self) -> Parts {
        self.parts(resident_mb, shared_out_mb)
    }

    fn parts(&self, own: impl Fn(u32) -> (f64, f64), store: impl Fn(u32) -> (f64, f64)) -> Parts {
        let (alone, children) = own(self.pid);
        let all = |(one, below): (f64, f64)| one + below;
        let stores = self.stores.iter().fold(0.0, |sum, pid| sum + all(store(*pid)));
        if self.keeps_children {
            Parts { own: alone, stores: stores + store(self.pid).1 }
        } else {
            Parts { own: alone + children, stores }
        }
    }
}

/// Waits for the first answer, which has to be the model's; gives up when `alive` does.
///
/// # Errors
/// What `alive` says, or the last answer.
pub(crate) async fn first_answer(
    addr: SocketAddr,
    asks: &Asks,
    mut alive: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let end = Instant::now() + START;
    let mut said = "nobody listens".to_owned();
    loop {
        if let Some(mut connection) = Connection::open(addr).await
            && let Some(answer) = connection.send(asks.whole(addr)).await
        {
            let status = answer.status();
            let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let text = String::from_utf8_lossy(&body);
            if status == StatusCode::OK && text.contains(pieces()[0].trim_start()) {
                return Ok(());
            }
            said = format!("{status}: {text}");
        }
        alive()?;
        if Instant::now() > end {
            return Err(said);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

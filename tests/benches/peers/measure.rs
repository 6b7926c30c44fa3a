//! The rounds: each peer in turn, who is first changing each time, so that all see the same machine.

use std::time::Duration;

use rag_tower_tests::load;

use crate::asks::Talk;
use crate::peer::{Parts, Peer};
use crate::streams;
use crate::stub::pieces;

/// Requests at once where the rate is measured.
pub(crate) const CONNECTIONS: usize = 16;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
}

/// All rounds of one peer; times in milliseconds, one value a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// One request at a time.
    pub(crate) one_p50: Vec<f64>,
    pub(crate) one_p99: Vec<f64>,
    /// [`CONNECTIONS`] at a time.
    pub(crate) many: Load,
    /// The same within conversations.
    pub(crate) talks: Load,
    /// To the first piece of a stream.
    pub(crate) first_p50: Vec<f64>,
    pub(crate) first_p99: Vec<f64>,
    /// Streams that should have been a frame for a piece, and those that were: of slow ones and of fast ones.
    pub(crate) slow: (usize, usize),
    pub(crate) fast: (usize, usize),
    /// The pieces of one that was not.
    pub(crate) otherwise: Option<Vec<String>>,
    /// Memory in MB before the first request of the first round and after the last of the last.
    pub(crate) idle: Parts,
    pub(crate) busy: Parts,
    /// Requests that failed, of all kinds.
    pub(crate) failed: usize,
}

/// Rounds of many connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) rps: Vec<f64>,
    pub(crate) p99: Vec<f64>,
    /// Processor time of a request.
    pub(crate) own: Vec<f64>,
    pub(crate) stores: Vec<f64>,
}

/// Measures all of them.
///
/// # Errors
/// A peer that stopped to answer, by name.
pub(crate) async fn all(peers: &[Peer], plan: Plan) -> Result<Vec<Measured>, String> {
    let mut measured = vec![Measured::default(); peers.len()];
    for (peer, measured) in peers.iter().zip(&mut measured) {
        measured.idle = peer.processes.memory_mb();
    }
    for round in 0..plan.rounds {
        for n in 0..peers.len() {
            let at = (n + round) % peers.len();
            let (peer, measured) = (&peers[at], &mut measured[at]);
            measured.round(peer, plan.length).await.map_err(|error| format!("{}: {error}", peer.name))?;
            measured.busy = peer.processes.memory_mb();
        }
        let line: Vec<String> = peers
            .iter()
            .zip(&measured)
            .map(|(peer, its)| {
                format!("{} {:.0}/s {:.2} ms", peer.name, its.many.rps[round], its.one_p50[round])
            })
            .collect();
        eprintln!("round {} of {}: {}", round + 1, plan.rounds, line.join(", "));
    }
    Ok(measured)
}

// === impl Measured ===

impl Measured {
    async fn round(&mut self, peer: &Peer, length: Duration) -> Result<(), String> {
        let (addr, asks) = (peer.addr, peer.asks.clone());
        let one = load::run(addr, 1, length, move |_| asks.whole(addr)).await;
        self.one_p50.push(milliseconds(one.p50));
        self.one_p99.push(milliseconds(one.p99));
        self.failed += one.failed;

        self.failed += self.many.round(peer, length, false).await;
        if peer.talks {
            self.failed += self.talks.round(peer, length, true).await;
        }

        let pieces = pieces();
        let slow = streams::run(addr, length, &pieces, || peer.asks.stream(addr, true)).await?;
        let fast = streams::run(addr, length / 10, &pieces, || peer.asks.stream(addr, false)).await?;
        self.first_p50.push(milliseconds(slow.first_p50));
        self.first_p99.push(milliseconds(slow.first_p99));
        self.slow = (self.slow.0 + slow.all, self.slow.1 + slow.exact);
        self.fast = (self.fast.0 + fast.all, self.fast.1 + fast.exact);
        self.otherwise = slow.otherwise.or(fast.otherwise).or(self.otherwise.take());
        Ok(())
    }
}

// === impl Load ===

impl Load {
    /// One more round; says how many requests failed.
    async fn round(&mut self, peer: &Peer, length: Duration, talks: bool) -> usize {
        let addr = peer.addr;
        let before = peer.processes.processor_ms();
        let report = load::run_each(addr, CONNECTIONS, length, |_| {
            let (asks, mut talk) = (peer.asks.clone(), Talk::default());
            move |before: &bytes::Bytes| {
                if talks { asks.in_talk(addr, &mut talk, before) } else { asks.whole(addr) }
            }
        })
        .await;
        let after = peer.processes.processor_ms();
        let sent = report.sent.max(1) as f64;
        self.rps.push(report.rps);
        self.p99.push(milliseconds(report.p99));
        self.own.push((after.own - before.own) / sent);
        self.stores.push((after.stores - before.stores) / sent);
        report.failed
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

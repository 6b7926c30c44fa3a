//! The server and the gateway beside other programs that do such work, in one run on one machine before one model server:
//! a bare axum proxy, one that makes the server's calls alone, the TensorZero gateway, LiteLLM's proxy, and the server's own design written with FastAPI. Ends with
//! Markdown tables, the goals, and one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench peers`
//!
//! | argument | what |
//! |---|---|
//! | `--only NAME` | this peer beside the model server: `axum`, `calls`, `floor`, `gateway`, `tensorzero`, `litellm`, `server` or `fastapi`; may be said again |
//! | `--quick` | one short round: shows that everything runs, and measures nothing |
//! | `--rounds N`, `--seconds N` | rounds, 5 by default, and the length of each of their parts, 3 by default |
//!
//! The gateway is built first, with its own features; `GATEWAY` may name one that is built already. Python's peers are installed from PyPI into the target directory, each in an environment of its own, with `python3` or what
//! `PYTHON` names. A peer that cannot be started is said loudly and left out.

mod asks;
mod calls;
mod floor;
mod measure;
mod pass_through;
mod peer;
mod programs;
mod python;
mod report;
mod roles;
mod starting;
mod streams;
mod stub;

use std::fs::read_to_string;
use std::time::Duration;

use rag_tower_tests::processor::{machine, processor_us};

use crate::measure::Plan;
use crate::peer::Peer;
use crate::report::{Goal, Report, Row};
use crate::roles::Role;

// as the server has
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NAMES: [&str; 8] = ["axum", "calls", "floor", "gateway", "tensorzero", "litellm", "server", "fastapi"];

/// What is to be done.
struct Arguments {
    only: Vec<String>,
    plan: Plan,
}

fn main() {
    if !Role::take_if_asked() {
        compare();
    }
}

/// Sends its requests from one thread: two would wake each other for each answer, and take that time from who is measured.
#[tokio::main(flavor = "current_thread")]
async fn compare() {
    let arguments = Arguments::read(std::env::args().skip(1)).unwrap_or_else(|error| panic!("{error}"));
    let (peers, absent) = start(&arguments).await;
    let before = (busy_ms(), used_ms());
    let measured = match measure::all(&peers, arguments.plan).await {
        Ok(measured) => measured,
        Err(error) => {
            drop(peers);
            panic!("{error}");
        }
    };
    let (busy, used) = (busy_ms() - before.0, used_ms() - before.1);
    let report =
        Report { rows: peers.iter().zip(&measured).map(|(peer, measured)| Row { peer, measured }).collect() };
    let Plan { rounds, length } = arguments.plan;
    println!("{}; {rounds} rounds, {} s for each part of one\n", machine(), length.as_secs_f64());
    println!("{}\n{}\n{}", report.figures(), report.talks(), report.described());
    for absent in &absent {
        println!("- NOT MEASURED: {absent}");
    }
    println!("\n{}", Goal::table(&report.goals()));
    let others = ((busy - used) / busy).max(0.0);
    println!("of the processors' work meanwhile {:.0} % was that of other programs", others * 100.0);
    for (peer, measured) in peers.iter().zip(&measured).filter(|(_, measured)| measured.failed > 0) {
        println!("{}: {} requests FAILED", peer.name, measured.failed);
    }
    for (peer, measured) in peers.iter().zip(&measured) {
        if let Some(pieces) = &measured.otherwise {
            println!("{}: a stream came as {} frames: {pieces:?}", peer.name, pieces.len());
        }
    }
    println!("RESULT {}", report.json());
}

/// Starts all that is asked for, the model server first; says what could not be started.
async fn start(arguments: &Arguments) -> (Vec<Peer>, Vec<String>) {
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let (stub, base) = starting::stub().await.unwrap_or_else(|error| panic!("the model server: {error}"));
    let (mut peers, mut absent) = (vec![stub], Vec::new());
    let mut add = |name: &str, peer: Result<Peer, String>| match peer {
        Ok(peer) => peers.push(peer),
        Err(error) => {
            eprintln!("NOT MEASURED: {name}: {error}");
            absent.push(format!("{name}: {error}"));
        }
    };
    eprintln!("starting the peers, each twice…");
    if wanted("axum") {
        add("axum", starting::pass_through(&base).await);
    }
    if wanted("calls") {
        add("calls", starting::calls(&base).await);
    }
    if wanted("floor") {
        add("floor", starting::floor(&base).await);
    }
    if wanted("gateway") {
        add("gateway", starting::gateway(&base).await);
    }
    if wanted("tensorzero") {
        add("tensorzero", starting::tensorzero(&base).await);
    }
    if wanted("litellm") {
        add("litellm", starting::litellm(&base).await);
    }
    // the FastAPI design is over the server's chunks
    if wanted("server") || wanted("fastapi") {
        match starting::server(&base).await {
            Ok((server, chunks)) => {
                add("server", Ok(server));
                if wanted("fastapi") {
                    add("fastapi", starting::fastapi(&base, &chunks).await);
                }
            }
            Err(error) => add("server", Err(error)),
        }
    }
    (peers, absent)
}

/// The time in which this machine's processors did anything, in milliseconds.
fn busy_ms() -> f64 {
    let stat = read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, and behind idle and waiting: interrupts and soft interrupts
    [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at)).sum::<f64>() * 10.0
}

/// The time that they worked for this program and all that it started.
fn used_ms() -> f64 {
    let (own, below) = processor_us(std::process::id());
    (own + below) / 1000.0
}

// === impl Arguments ===

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Plan { rounds: 5, length: Duration::from_secs(3) };
        let mut only = Vec::new();
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} takes a value"));
            let number =
                |text: String| text.parse::<u32>().map_err(|error| format!("{argument} {text}: {error}"));
            match argument.as_str() {
                // what cargo says to every benchmark
                "--bench" => {}
                "--quick" => plan = Plan { rounds: 1, length: Duration::from_millis(500) },
                "--rounds" => plan.rounds = number(value()?)?.max(1) as usize,
                "--seconds" => plan.length = Duration::from_secs(number(value()?)?.max(1).into()),
                "--only" => {
                    let name = value()?;
                    if !NAMES.contains(&name.as_str()) {
                        return Err(format!("--only {name}: expected one of {}", NAMES.join(", ")));
                    }
                    only.push(name);
                }
                other => {
                    return Err(format!("{other} is not known: --only, --quick, --rounds and --seconds are"));
                }
            }
        }
        Ok(Self { only, plan })
    }
}

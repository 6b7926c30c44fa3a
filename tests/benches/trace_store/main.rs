//! What keeping a row of every ask costs, and what its figures cost: rows of 1 to 4 kB through the writer, the store alone
//! and a bare COPY into an identical table; then the overview of a day, a month and a year over a tenth of the small rows
//! and over all of them, beside the same figures from the rows, and the console over those in a browser; then the owner's
//! lists, searches and counts. Ends with one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench trace_store`
//!
//! | argument | what |
//! |---|---|
//! | `--written N` | rows of 1 to 4 kB, a million by default |
//! | `--rows N` | small rows under the overview, ten million by default |
//! | `--listed N` | rows of 1 to 4 kB under the owner's lists, a million by default |
//! | `--only writing`, `figures`, `console` or `pages` | one of the four; the console needs rows that `figures` has kept |
//! | `--keep FOLDER` | with `--only figures`, `console` or `pages`: keeps the rows there, and measures over those that it finds |
//!
//! A private Postgres is started for it, durable and with the settings that a server's has; it is refused when the disk of
//! the temporary folder has too little room.

mod console;
mod figures;
mod pages;
mod rows;
mod writing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use rag_tower::postgres::{
    APP_LOGIN, Database, DatabaseOptions, PgPartitions, PgRollups, PgTraceStore, bootstrap,
};
use rag_tower_owner::cluster::{Cluster, ClusterOptions};
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection};
use time::Date;

/// The server's: rows are made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITTEN: usize = 1_000_000;
const ROWS: usize = 10_000_000;
/// Room that a large row needs, twice with its indexes, and a small one, in bytes.
const LARGE_ROOM: usize = 8_000;
const SMALL_ROOM: usize = 1_500;
/// Room for the write-ahead log, and what is left to others.
const SPARE: usize = 4 << 30;

/// A Postgres with the schema, and the ways into it.
struct Bench {
    cluster: Cluster,
    folder: PathBuf,
    database: Database,
    admin: PgConnection,
    store: PgTraceStore,
    rollups: PgRollups,
    kept: bool,
}

#[tokio::main]
async fn main() {
    let only = argument("--only");
    let does = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let count = |name: &str, default: usize| {
        argument(name).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
    };
    let (written, rows) = (count("--written", WRITTEN), count("--rows", ROWS));
    let listed = count("--listed", WRITTEN);
    let open = fs::Permissions::from_mode(0o711);
    let folder = tempfile::Builder::new().permissions(open).tempdir().expect("a directory");
    // one after the other: the first gives its room back
    let needed = SPARE
        + [("writing", written * LARGE_ROOM), ("figures", rows * SMALL_ROOM), ("pages", listed * LARGE_ROOM)]
            .into_iter()
            .map(|(part, room)| if does(part) { room } else { 0 })
            .max()
            .unwrap_or(0);
    let room = free(folder.path());
    if room < needed {
        eprintln!(
            "this needs {} GB of disk and there are {}: ask for less with --written and --rows",
            needed >> 30,
            room >> 30
        );
        std::process::exit(1);
    }

    let mut result = Map::new();
    if does("writing") {
        let mut bench = Bench::start(&folder.path().join("writing")).await;
        result.extend(writing::run(&mut bench, written).await);
        bench.end().await;
    }
    if does("figures") || does("console") {
        let kept = argument("--keep").map(PathBuf::from);
        let mut bench = Bench::start(kept.as_deref().unwrap_or(&folder.path().join("figures"))).await;
        if does("figures") {
            result.extend(figures::run(&mut bench, rows).await);
        }
        if does("console") {
            result.extend(console::run(&mut bench).await);
        }
        bench.kept = kept.is_some();
        bench.end().await;
    }
    if does("pages") {
        let kept = argument("--keep").filter(|_| only.as_deref() == Some("pages")).map(PathBuf::from);
        let mut bench = Bench::start(kept.as_deref().unwrap_or(&folder.path().join("pages"))).await;
        result.extend(pages::run(&mut bench, listed).await);
        bench.kept = kept.is_some();
        bench.end().await;
    }
    println!("RESULT {}", Value::Object(result));
}

// === impl Bench ===

impl Bench {
    async fn start(folder: &Path) -> Self {
        let cluster = Cluster::start(&ClusterOptions::new(folder)).await.expect("Postgres");
        let admin_url = cluster.admin_url("postgres");
        bootstrap(&admin_url, APP_LOGIN, Some(cluster.app_password())).await.expect("the schema");
        let database =
            Database::connect(&DatabaseOptions::new(cluster.app_url("postgres"))).await.expect("a login");
        let admin = PgConnection::connect(&admin_url).await.expect("the superuser");
        let (store, rollups) = (PgTraceStore::new(&database), PgRollups::new(&database));
        Self { cluster, folder: folder.to_owned(), database, admin, store, rollups, kept: false }
    }

    /// Stops Postgres and gives the room back, unless it is kept.
    async fn end(self) {
        drop(self.admin);
        self.database.close().await;
        self.cluster.stop().await.expect("Postgres stops");
        if !self.kept {
            fs::remove_dir_all(&self.folder).expect("the folder is removed");
        }
    }

    /// Closes the days that were over at `midnight`, as an upkeep does it, and says how long that took. What a fill leaves
    /// behind is cleaned up.
    async fn close_days(&mut self, midnight: Date) -> Duration {
        let began = Instant::now();
        let partitions = PgPartitions::new(&self.database);
        while partitions.close(midnight, 20).await.expect("closed days") > 0 {}
        let closed = began.elapsed();
        rag_tower_tests::postgres::run(&mut self.admin, "VACUUM ANALYZE rag_tower.request_traces").await;
        closed
    }

    /// Does something with the fold beside it, each second, as a server has it.
    async fn folding<T>(&self, work: impl Future<Output = T>) -> T {
        let fold = async {
            loop {
                self.rollups.fold_all().await.expect("a fold");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        match select(std::pin::pin!(work), std::pin::pin!(fold)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => never,
        }
    }
}

/// What follows `name` on the command line.
fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().map(|_| arguments.next().unwrap_or_else(|| panic!("{name} takes a value")))
}

/// Free bytes of the disk that a folder is on.
fn free(folder: &Path) -> usize {
    let said = Command::new("df").arg("-Pk").arg(folder).output().expect("df").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let kilobytes = said.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)).expect("a free size");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

/// To so many digits after the point, for the result.
fn round(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

/// The value below which 95 in a hundred are, in milliseconds.
fn p95_ms(took: &mut [Duration]) -> f64 {
    took.sort_unstable();
    took[took.len() * 95 / 100].as_secs_f64() * 1e3
}

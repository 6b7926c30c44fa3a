//! What writing and reading figures costs: rows a second into the trace store with rollups and every index, beside a bare
//! COPY into an identical table, and the overview of a day, a month and a year over a tenth of the rows and over all. Ends
//! with one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench trace_store`
//!
//! `-- --rows N` fills fewer rows than ten million. A private Postgres is started for it; it is refused when the disk of
//! the temporary folder has too little room.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::{Either, select};
use rag_tower::AskId;
use rag_tower::answer::Usage;
use rag_tower::postgres::{APP_LOGIN, Database, DatabaseOptions, PgRollups, PgTraceStore, bootstrap};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{ErrorKind, Finish, Stage};
use rag_tower_owner::cluster::{Cluster, ClusterOptions};
use rag_tower_tests::corpus::Random;
use rag_tower_tests::postgres::run;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

const ROWS: usize = 10_000_000;
/// Room that a row needs, with its indexes and its share of the write-ahead log, in bytes.
const ROOM: usize = 1_500;
/// Room that is left to others.
const SPARE: usize = 3 << 30;
/// Rows of one batch, as the writer has them.
const BATCH: usize = 1_000;
/// Rows that a round of writing compares, and how many rounds there are.
const WRITTEN: usize = 30_000;
const ROUNDS: usize = 3;
const TENANTS: usize = 20;
const YEAR: time::Duration = time::Duration::days(365);
/// Overviews of each window, of one tenant and of all.
const OVERVIEWS: usize = 60;

/// The columns that are not made from others.
const COLUMNS: &str = "trace_id, ts, tenant_id, branch_id, request_id, session_id, subject, channel, route, status, finish,
    reason, question, answer, latency_us, ttft_us, input_tokens, output_tokens, estimated, cost_estimate, llm_provider,
    llm_model, confidence, error_kind, error_stage, error, degraded, sources, tool_metadata, spans, hits, receipt";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rows = arguments.iter().position(|argument| argument == "--rows").map(|at| &arguments[at + 1]);
    let rows: usize = rows.map_or(ROWS, |n| n.parse().expect("a number"));
    let open = fs::Permissions::from_mode(0o711);
    let folder = tempfile::Builder::new().permissions(open).tempdir().expect("a directory");
    let (room, needed) = (free(folder.path()), rows * ROOM + SPARE);
    if room < needed {
        eprintln!(
            "{rows} rows need {} GB and there are {}: ask for fewer with --rows",
            needed >> 30,
            room >> 30
        );
        std::process::exit(1);
    }

    let cluster = Cluster::start(&ClusterOptions::new(folder.path())).await.expect("Postgres");
    let admin_url = cluster.admin_url("postgres");
    bootstrap(&admin_url, APP_LOGIN, Some(cluster.app_password())).await.expect("the schema");
    let database =
        Database::connect(&DatabaseOptions::new(cluster.app_url("postgres"))).await.expect("a login");
    let mut admin = PgConnection::connect(&admin_url).await.expect("the superuser");
    let bench = Bench { store: PgTraceStore::new(&database), rollups: PgRollups::new(&database) };

    let (persisted, copied) = bench.written(&mut admin).await;
    eprintln!("written {persisted:.0} rows/s, copied {copied:.0}: ratio {:.2}", persisted / copied);
    let until = OffsetDateTime::now_utc();
    bench.fill(until, 1, rows / 10).await;
    let small = bench.overviews(until).await;
    eprintln!("overview over {} rows: p95 {small:.2} ms", rows / 10);
    bench.fill(until, 2, rows - rows / 10).await;
    run(&mut admin, "ANALYZE").await;
    let large = bench.overviews(until).await;
    eprintln!("overview over {rows} rows: p95 {large:.2} ms");
    let naive = naive(&mut admin, until).await;
    eprintln!("the same of a month from the rows: {naive:.0} ms");

    drop(admin);
    database.close().await;
    cluster.stop().await.expect("Postgres stops");
    let round = |number: f64, digits: i32| (number * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
    let result = json!({
        "persist_rows_per_s": round(persisted, 0),
        "persist_ratio_to_copy": round(persisted / copied, 3),
        "overview_p95_ms_10m": round(large, 3),
        "overview_10m_to_1m": round(large / small, 3),
        "naive_ratio": round(naive / large, 1),
        "rows": rows,
    });
    println!("RESULT {result}");
}

struct Bench {
    store: PgTraceStore,
    rollups: PgRollups,
}

// === impl Bench ===

impl Bench {
    /// Rows a second that the store takes as they happen, with the fold beside it as in a server, and that COPY takes.
    /// Rounds alternate, over the same rows.
    async fn written(&self, admin: &mut PgConnection) -> (f64, f64) {
        run(admin, "CREATE TABLE public.copied (LIKE rag_tower.request_traces INCLUDING ALL)").await;
        let (mut persisted, mut copied) = (Duration::ZERO, Duration::ZERO);
        for round in 0..ROUNDS {
            let mut random = Random::new(100 + round as u64);
            // as they happen: a batch within some seconds
            let now = OffsetDateTime::now_utc();
            let rows: Vec<TraceRow> = (0..WRITTEN)
                .map(|n| row(&mut random, now - time::Duration::milliseconds((WRITTEN - n) as i64)))
                .collect();
            let began = Instant::now();
            self.folding(async {
                for batch in rows.chunks(BATCH) {
                    self.store.insert(batch).await.expect("a batch");
                }
            })
            .await;
            persisted += began.elapsed();
            // what the rows look like to COPY
            let out = format!("COPY (SELECT {COLUMNS} FROM rag_tower.request_traces) TO STDOUT");
            let text = admin.copy_out_raw(&out).await.expect("a copy");
            let text: Vec<_> = text.try_collect().await.expect("the rows");
            let began = Instant::now();
            let mut copy = admin
                .copy_in_raw(&format!("COPY public.copied ({COLUMNS}) FROM STDIN"))
                .await
                .expect("a copy");
            for piece in text.concat().chunks(1 << 20) {
                copy.send(piece).await.expect("a piece");
            }
            assert_eq!(copy.finish().await.expect("the end"), WRITTEN as u64);
            copied += began.elapsed();
            run(admin, "TRUNCATE public.copied").await;
            // their rollups stay, which changes nothing of what is measured
            run(admin, "TRUNCATE rag_tower.request_traces").await;
        }
        let rate = |took: Duration| (ROUNDS * WRITTEN) as f64 / took.as_secs_f64();
        (rate(persisted), rate(copied))
    }

    /// Rows spread over the year before `until`, in the order of time.
    async fn fill(&self, until: OffsetDateTime, seed: u64, rows: usize) {
        let mut random = Random::new(seed);
        let began = Instant::now();
        self.folding(async {
            let mut done = 0;
            while done < rows {
                let batch: Vec<TraceRow> = (done..rows.min(done + BATCH))
                    .map(|n| row(&mut random, until - YEAR + YEAR * (n as f64 / rows as f64)))
                    .collect();
                done += batch.len();
                self.store.insert(&batch).await.expect("a batch");
                if done.is_multiple_of(50 * BATCH) {
                    eprint!(
                        "\rfilled {done} of {rows}, {:.0} rows/s ",
                        done as f64 / began.elapsed().as_secs_f64()
                    );
                }
            }
            eprintln!();
        })
        .await;
        self.rollups.fold_all().await.expect("a fold");
    }

    /// Does something with the fold beside it, each second, as a server has it.
    async fn folding(&self, work: impl Future<Output = ()>) {
        let fold = async {
            loop {
                self.rollups.fold_all().await.expect("a fold");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        match select(std::pin::pin!(work), std::pin::pin!(fold)).await {
            Either::Left(((), _)) => {}
            Either::Right((never, _)) => never,
        }
    }

    /// p95 of the overviews of a day, a month and a year, of one tenant and of all, in milliseconds.
    async fn overviews(&self, until: OffsetDateTime) -> f64 {
        let mut took = Vec::new();
        for n in 0..OVERVIEWS {
            for days in [1, 30, 365] {
                for tenant in [None, Some(TenantId::named(&format!("t{}", n % TENANTS)))] {
                    // windows that begin and end anywhere
                    let until = until - time::Duration::seconds(n as i64 * 61);
                    let since = until - time::Duration::days(days);
                    let began = Instant::now();
                    let sum = self.rollups.totals(tenant, Some(since), Some(until)).await.expect("totals");
                    took.push(began.elapsed());
                    assert!(tenant.is_some() || sum.latency.quantile(0.95).is_some());
                }
            }
        }
        took.sort_unstable();
        took[took.len() * 95 / 100].as_secs_f64() * 1e3
    }
}

/// The median of the overview of a month from the rows themselves, in milliseconds.
async fn naive(admin: &mut PgConnection, until: OffsetDateTime) -> f64 {
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        sqlx::query(
            "SELECT count(*), avg(latency_us), sum(input_tokens), sum(output_tokens), sum(cost_estimate),
                 percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_us)
             FROM rag_tower.request_traces WHERE ts >= $1 AND ts < $2",
        )
        .bind(until - time::Duration::days(30))
        .bind(until)
        .fetch_one(&mut *admin)
        .await
        .expect("the figures");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[1].as_secs_f64() * 1e3
}

/// An ask as a small model answers it.
fn row(random: &mut Random, at: OffsetDateTime) -> TraceRow {
    let stamp =
        uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), at.nanosecond());
    let id = AskId::new(Uuid::new_v7(stamp));
    let route = ["course_search", "course_search", "tuition_calculator", "comparison"][random.below(4)];
    // most take a second or so, some much longer
    let latency = Duration::from_micros(200_000 + (random.below(1_000) * random.below(1_000) * 4) as u64);
    let mut row: TraceRow = serde_json::from_value(json!({
        "trace_id": id, "ts": "2026-01-01T00:00:00Z", "tenant_id": TenantId::named(&format!("t{}", random.below(TENANTS))),
        "channel": "web", "route": route, "outcome": "truncated", "latency": latency, "ttft": latency / 3,
        "question": "Học phí khóa IELTS 6.5 buổi tối là bao nhiêu?",
        "answer": "Học phí khóa IELTS 6.5 là 6.500.000 đồng cho 36 buổi, đóng một lần hoặc chia hai lần [1].",
        "sources": [{"n": 1, "doc_id": Uuid::nil(), "file_name": "fees.md", "title": "Fees", "chunk": Uuid::nil(),
                     "snippet": "Khóa IELTS 6.5: 6.500.000 đồng", "score": 0.5}],
        "tool_metadata": {}, "spans": [], "hits": [], "degraded": [], "cost_estimate": 0.0004,
        "llm_provider": "local", "llm_model": "small"
    }))
    .expect("a row");
    row.ts = id.timestamp().expect("a time");
    row.outcome = match random.below(50) {
        0 => Outcome::Failed(ErrorKind::Internal, Stage::Generate),
        _ => Outcome::Completed(Finish::Stop),
    };
    row.usage = Some(Usage { input_tokens: 900, output_tokens: 60, estimated: false });
    row
}

/// Free bytes of the disk that a folder is on.
fn free(folder: &Path) -> usize {
    let said = Command::new("df").arg("-Pk").arg(folder).output().expect("df").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let kilobytes = said.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)).expect("a free size");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

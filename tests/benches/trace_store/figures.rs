//! Small rows over a year in, what an overview costs over a tenth of them and over all out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rag_tower::postgres::{Facet, Selection};
use rag_tower::trace::TraceRow;
use rag_tower_owner::config::Zone;
use rag_tower_owner::owner_store::OwnerStore;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::pages::owner;
use super::rows::{Rows, TENANTS, tenant};
use super::{Bench, p95_ms, round};

/// Rows of one statement.
const BATCH: usize = 1_000;
pub const YEAR: time::Duration = time::Duration::days(365);
/// Days of the windows.
const WINDOWS: [i64; 3] = [1, 30, 365];
/// Overviews of each window, of one tenant and of all.
const OVERVIEWS: usize = 200;
/// Charts of each kind and window, of one tenant and of all.
const CHARTS: usize = 40;

/// p95 in milliseconds, for each window of one tenant and of all.
type Cells = Vec<f64>;

pub async fn run(bench: &mut Bench, rows: usize) -> Map<String, Value> {
    // of an earlier run, in a folder that is kept
    let newest: Option<OffsetDateTime> = sqlx::query_scalar("SELECT max(ts) FROM rag_tower.request_traces")
        .fetch_one(&mut bench.admin)
        .await
        .expect("the newest row");
    let until = newest.unwrap_or_else(OffsetDateTime::now_utc);
    let mut small = vec![f64::NAN; WINDOWS.len() * 2];
    if newest.is_none() {
        fill(bench, (until - YEAR, until), 1, rows / 10, Rows::small).await;
        small = overviews(bench, until).await;
        fill(bench, (until - YEAR, until), 2, rows - rows / 10, Rows::small).await;
        let closed = bench.close_days(until.date()).await;
        eprintln!("closing the days that are over took {:.0} s", closed.as_secs_f64());
    }
    fold(bench).await;
    let large = overviews(bench, until).await;

    eprintln!("p95 of an overview, ms                one tenant   all tenants");
    for (n, days) in WINDOWS.iter().enumerate() {
        eprintln!(
            "{days:>4} days, {:>9} rows           {:>12.2} {:>13.2}",
            rows / 10,
            small[2 * n],
            small[2 * n + 1]
        );
        eprintln!(
            "{days:>4} days, {rows:>9} rows           {:>12.2} {:>13.2}",
            large[2 * n],
            large[2 * n + 1]
        );
    }
    let mut naives = Vec::new();
    for days in WINDOWS {
        naives.push(naive(&mut bench.admin, until, days).await);
        eprintln!(
            "{days:>4} days of all tenants with percentile_cont over the rows: {:.0} ms",
            naives[naives.len() - 1]
        );
    }
    let charts = charts(bench, until).await;
    let worst = large.iter().copied().fold(0.0, f64::max);
    let growth = large.iter().zip(&small).map(|(large, small)| large / small).fold(f64::NAN, f64::max);
    // a month of all tenants
    let naive_ratio = naives[1] / large[3];
    let result = json!({
        "overview_p95_ms_10m": round(worst, 3),
        "overview_10m_to_1m": round(growth, 3),
        "naive_ratio": round(naive_ratio, 1),
        "naive_ms": naives.iter().map(|ms| round(*ms, 0)).collect::<Vec<_>>(),
        "charts_p95_ms": round(charts, 1),
        "rows": rows,
    });
    result.as_object().cloned().unwrap_or_default()
}

/// Rows spread over a time, in its order, through the store: two batches on their way, and the
/// next being made.
pub async fn fill(
    bench: &Bench,
    (since, until): (OffsetDateTime, OffsetDateTime),
    seed: u64,
    rows: usize,
    make: fn(&mut Rows, OffsetDateTime) -> TraceRow,
) {
    let began = Instant::now();
    bench
        .folding(async {
            let (batches, next) = mpsc::channel::<Vec<TraceRow>>(2);
            let next = Arc::new(Mutex::new(next));
            let maker = tokio::task::spawn_blocking(move || {
                let mut source = Rows::new(seed);
                for first in (0..rows).step_by(BATCH) {
                    let at = |n: usize| since + (until - since) * (n as f64 / rows as f64);
                    let batch = (first..rows.min(first + BATCH)).map(|n| make(&mut source, at(n))).collect();
                    batches.blocking_send(batch).expect("a writer");
                    if (first / BATCH).is_multiple_of(50) {
                        let rate = first as f64 / began.elapsed().as_secs_f64();
                        eprint!("\rfilled {first} of {rows}, {rate:.0} rows/s ");
                    }
                }
            });
            let mut writers = JoinSet::new();
            for _ in 0..2 {
                let (store, next) = (bench.store.clone(), Arc::clone(&next));
                writers.spawn(async move {
                    loop {
                        let Some(batch) = next.lock().await.recv().await else { return };
                        store.insert(&batch).await.expect("a batch");
                    }
                });
            }
            maker.await.expect("the rows are made");
            writers.join_all().await;
        })
        .await;
    eprintln!("\rfilled {rows} rows, {:.0} rows/s       ", rows as f64 / began.elapsed().as_secs_f64());
    fold(bench).await;
}

/// Folds all that waits: an overview adds what is not folded, and what a fill has left would be most of it.
async fn fold(bench: &Bench) {
    // the fold beside the fill may not have let go yet
    while bench.rollups.fold_all().await.expect("a fold").busy {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn overviews(bench: &Bench, until: OffsetDateTime) -> Cells {
    let mut took = vec![Vec::new(); WINDOWS.len() * 2];
    // as in a console that is in use: each tenant's rollups have been read once since Postgres started
    for tenant in (0..TENANTS).map(|n| Some(tenant(n))).chain([None]) {
        bench.rollups.totals(tenant, Some(until - YEAR), Some(until)).await.expect("totals");
    }
    for n in 0..OVERVIEWS {
        // windows that begin and end anywhere
        let until = until - time::Duration::seconds(n as i64 * 61);
        for (window, days) in WINDOWS.into_iter().enumerate() {
            let since = until - time::Duration::days(days);
            for (of, tenant) in [Some(tenant(n % TENANTS)), None].into_iter().enumerate() {
                let began = Instant::now();
                let sum = bench.rollups.totals(tenant, Some(since), Some(until)).await.expect("totals");
                took[2 * window + of].push(began.elapsed());
                assert!(tenant.is_some() || sum.latency.quantile(0.95).is_some());
            }
        }
    }
    took.iter_mut().map(|took| p95_ms(took)).collect()
}

/// What a console draws, of each window, of one tenant and of all, in a zone whose days are none of UTC's: the worst p95.
async fn charts(bench: &Bench, until: OffsetDateTime) -> f64 {
    let (store, owner) = (OwnerStore::new(&bench.database.aside(4)), owner().await);
    let zone: Zone = "Asia/Ho_Chi_Minh".parse().expect("a zone");
    let mut worst = 0.0_f64;
    eprintln!("p95 of charts, ms                overview  timeseries     heatmap  by tenant   by route");
    for days in WINDOWS {
        for of_one in [true, false] {
            let mut took = vec![Vec::new(); 5];
            for n in 0..=CHARTS {
                let until = until - time::Duration::seconds(n as i64 * 61);
                let which = Selection {
                    tenant: of_one.then(|| tenant(n % TENANTS)),
                    since: Some(until - time::Duration::days(days)),
                    until: Some(until),
                    ..Selection::default()
                };
                let mut began = Instant::now();
                let mut done = |chart: usize| {
                    // the first of each meets what Postgres has not read yet
                    if n > 0 {
                        took[chart].push(began.elapsed());
                    }
                    began = Instant::now();
                };
                store.overview(&owner, &which, &zone).await.expect("an overview");
                done(0);
                store.timeseries(&owner, &which, &zone, 96).await.expect("a timeseries");
                done(1);
                store.heatmap(&owner, &which, &zone, 96).await.expect("a heatmap");
                done(2);
                store.breakdown(&owner, &which, Facet::Tenant, 10).await.expect("tenants");
                done(3);
                store.breakdown(&owner, &which, Facet::Route, 10).await.expect("routes");
                done(4);
            }
            let p95: Vec<f64> = took.iter_mut().map(|took| p95_ms(took)).collect();
            let cells: String = p95.iter().map(|ms| format!("{ms:>12.1}")).collect();
            eprintln!("{days:>4} days, {} {cells}", if of_one { "one tenant " } else { "all tenants" });
            worst = p95.into_iter().fold(worst, f64::max);
        }
    }
    worst
}

/// The overview of all tenants from the rows themselves, the median of three, in milliseconds.
async fn naive(admin: &mut PgConnection, until: OffsetDateTime, days: i64) -> f64 {
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        sqlx::query(
            "SELECT count(*), avg(latency_us), sum(input_tokens), sum(output_tokens), sum(cost_estimate),
                 percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_us),
                 percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ttft_us)
             FROM rag_tower.request_traces WHERE ts >= $1 AND ts < $2",
        )
        .bind(until - time::Duration::days(days))
        .bind(until)
        .fetch_one(&mut *admin)
        .await
        .expect("the figures");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[1].as_secs_f64() * 1e3
}

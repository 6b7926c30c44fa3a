//! The rows of the figures in, what the owner waits for in the console over them out: a real server on the same Postgres, and
//! a real browser that has nothing in its cache.
//!
//! | figure | what |
//! |---|---|
//! | `console_fcp_ms` | from the click until the overview's first paint, over a day, a month and a year: the median, worst window |
//! | `console_shown_ms` | until everything on it is drawn, the same |
//! | `console_kb` | bytes that the server sent for it |
//! | `console_request_p95_ms` | p95 of the slowest kind of request that the console makes |
//! | `console_search_p95_ms` | of the slowest search: what many rows hold, what none holds, common words in an order that no row has |

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rag_tower_tests::browser::Page;
use rag_tower_tests::http::Client;
use rag_tower_tests::server::{OWNER, PASSWORD, Setup};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rows::{TENANTS, tenant};
use super::{Bench, p95_ms, round};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const LOADS: usize = 5;
const ROUNDS: usize = 40;
/// When the page has all that it asked for.
const SHOWN: &str = "document.querySelector('#main [aria-busy=true]') === null
    && document.querySelectorAll('#main .tile').length > 6 && document.querySelector('#main svg, #main canvas') !== null";
/// What the browser measured of the page that is open.
const MEASURED: &str = "(() => {
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    return {
        paint: paint ? paint.startTime : null,
        sent: all.reduce((sum, one) => sum + one.transferSize, 0),
        requests: all.length,
        last: Math.max(...all.map((one) => one.responseEnd)),
    };
})()";

pub async fn run(bench: &mut Bench) -> Map<String, Value> {
    let until: OffsetDateTime = sqlx::query_scalar("SELECT max(ts) FROM rag_tower.request_traces")
        .fetch_one(&mut bench.admin)
        .await
        .expect("the newest row");
    let server = Setup::new(BINARY).env("DATABASE_URL", bench.cluster.app_url("postgres")).start();
    let origin = format!("http://{}", server.addr);
    let mut page = Page::open(&format!("{origin}/owner"), 1440, 900).await;
    page.type_into("#username", OWNER).await;
    page.type_into("#password", PASSWORD).await;
    page.click("form button.primary").await;
    page.until("document.querySelector('#main .tile') !== null").await;
    page.command("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;

    let (mut paint, mut shown, mut sent) = (0.0_f64, 0.0_f64, 0.0_f64);
    for days in [1, 30, 365] {
        let (mut paints, mut showns) = (Vec::new(), Vec::new());
        for n in 0..LOADS {
            // windows that begin and end anywhere
            let until = until - time::Duration::seconds(n as i64 * 61);
            let since = until - time::Duration::days(days);
            let address = format!(
                "{origin}/owner?screen=overview&range=custom&since={}&until={}",
                seconds(since),
                seconds(until)
            );
            page.command("Page.navigate", json!({ "url": address })).await;
            page.until(SHOWN).await;
            let measured = page.eval(MEASURED).await;
            paints.push(measured["paint"].as_f64().expect("a paint"));
            showns.push(measured["last"].as_f64().expect("an end"));
            sent = sent.max(measured["sent"].as_f64().expect("bytes"));
            if n + 1 == LOADS {
                eprintln!(
                    "overview of {days:>3} days: painted after {:>4.0} ms, all answers after {:>4.0} ms, {} requests, {:.0} kB",
                    median(&mut paints),
                    median(&mut showns),
                    measured["requests"],
                    sent / 1e3,
                );
            }
        }
        paint = paint.max(median(&mut paints));
        shown = shown.max(median(&mut showns));
    }
    drop(page);
    let (requests, searches) = requests(&server.owner().await, until).await;
    server.stop();
    let result = json!({
        "console_fcp_ms": round(paint, 0),
        "console_shown_ms": round(shown, 0),
        "console_kb": round(sent / 1e3, 0),
        "console_request_p95_ms": round(requests, 1),
        "console_search_p95_ms": round(searches, 1),
    });
    result.as_object().cloned().unwrap_or_default()
}

/// p95 of the slowest kind of request, and of the slowest kind of search.
async fn requests(owner: &Client, until: OffsetDateTime) -> (f64, f64) {
    let traces = owner.get("/owner/api/logs?limit=50").await.json();
    let ids: Vec<String> = traces["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["trace_id"].as_str().expect("an id").to_owned())
        .collect();
    let mut took: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for n in 0..ROUNDS {
        let until = until - time::Duration::seconds(n as i64 * 61);
        let days = [1, 7, 30, 365][n % 4];
        let since = until - time::Duration::days(days);
        let range = format!("since={}&until={}", rfc3339(since), rfc3339(until));
        let of = match n / 4 % 2 {
            0 => range.clone(),
            _ => format!("{range}&tenant_id={}", tenant(n % TENANTS)),
        };
        for (kind, path) in [
            ("metrics", format!("metrics?{of}")),
            ("timeseries", format!("metrics/timeseries?{of}")),
            ("heatmap", format!("metrics/heatmap?{of}")),
            ("breakdown by tenant", format!("metrics/breakdown?by=tenant&{of}")),
            ("breakdown by route", format!("metrics/breakdown?by=route&{of}")),
            ("breakdown by model", format!("metrics/breakdown?by=model&{of}")),
            ("logs", format!("logs?{of}")),
            ("logs of errors", format!("logs?status=ERROR&{of}")),
            ("facets", format!("logs/facets?{of}")),
            ("trace", format!("logs/{}", ids[n % ids.len()])),
            ("handoffs", format!("handoffs?{of}")),
            ("feedback", format!("feedback?{of}")),
            ("usage", format!("usage?{of}")),
            ("tenants", "tenants".to_owned()),
            ("isolation", format!("isolation?{range}")),
            ("system", "system".to_owned()),
            ("alerts", "alerts".to_owned()),
            ("audit", "audit".to_owned()),
            ("search of many", format!("logs?q=h%E1%BB%8Dc%20ph%C3%AD&{of}")),
            ("search of none", format!("logs?q=xylophon&{of}")),
            (
                // common words in an order that no row has: the index finds whatever holds them all, and it is read
                "search of common words",
                format!("logs?q=m%E1%BB%99t%20ch%E1%BB%AF%20kh%C3%B4ng%20h%E1%BB%81%20c%C3%B3&{of}"),
            ),
        ] {
            let began = Instant::now();
            let answer = owner.get(&format!("/owner/api/{path}")).await;
            let time = began.elapsed();
            assert_eq!(answer.status, http::StatusCode::OK, "{path}: {}", answer.text());
            took.entry(kind).or_default().push(time);
        }
    }
    let (mut worst, mut search) = (0.0_f64, 0.0_f64);
    for (kind, mut took) in took {
        let p95 = p95_ms(&mut took);
        eprintln!(
            "{kind:<22} p95 {p95:>7.1} ms, median {:>7.1} ms",
            took[took.len() / 2].as_secs_f64() * 1e3
        );
        let figure = if kind.starts_with("search") { &mut search } else { &mut worst };
        *figure = figure.max(p95);
    }
    (worst, search)
}

fn seconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp()
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a time")
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

//! Large rows over a year in, what the owner's lists cost over them out.
//!
//! | figure | p95 of |
//! |---|---|
//! | `logs_p95_ms` | the first page and the thousandth of each filter, by offset and by cursor, of one tenant and of all |
//! | `search_p95_ms` | the first page of what every row holds, some rows, a few, none; with a filter and without |
//! | `bounded_search_ms` | what no index finds: two letters, and words that are in every row but never in this order |
//! | `facets_p95_ms` | the counts of each filter |
//! | `text_facets_p95_ms` | the counts of what is searched |
//!
//! Days that are over are closed first, as an upkeep does it. The present day is open and has one row in fifty.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use http::{Request, Response};
use http_body_util::Full;
use rag_tower::postgres::{SearchText, Selection};
use rag_tower_owner::Secret;
use rag_tower_owner::auth::{
    LoginService, OwnerAuth, OwnerAuthConfig, OwnerAuthLayer, OwnerPassword, OwnerScope,
};
use rag_tower_owner::owner_store::{LogFilter, LogPage, OwnerStore, Page};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tower::{Layer, ServiceExt, service_fn};

use super::figures::{YEAR, fill};
use super::rows::{Rows, TENANTS, tenant};
use super::{Bench, p95_ms, round};

const ROUNDS: usize = 8;
const PAGE: u32 = 50;
/// Rows before the thousandth page.
const DEEP: u64 = 999 * PAGE as u64;
/// What a few rows hold, and how many.
const RARE: &str = "Xin bảo lưu vì chuyến công tác Zürich";
const FEW: usize = 40;

/// Reads as the owner.
struct Reader {
    store: OwnerStore,
    owner: OwnerScope,
}

pub async fn run(bench: &mut Bench, rows: usize) -> Map<String, Value> {
    // of an earlier run, in a folder that is kept
    let newest: Option<OffsetDateTime> = sqlx::query_scalar("SELECT max(ts) FROM rag_tower.request_traces")
        .fetch_one(&mut bench.admin)
        .await
        .expect("the newest row");
    let until = newest.unwrap_or_else(OffsetDateTime::now_utc);
    let mut closed = Duration::ZERO;
    if newest.is_none() {
        closed = prepare(bench, until, rows).await;
    }
    let sizes: (i64, i64) = sqlx::query_as(
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint, (SELECT sum(pg_relation_size(oid))::bigint FROM pg_class
             WHERE relname LIKE 'request\\_traces\\_%\\_search')
         FROM pg_inherits WHERE inhparent = 'rag_tower.request_traces'::regclass",
    )
    .fetch_one(&mut bench.admin)
    .await
    .expect("sizes");
    eprintln!("{rows} rows take {} MB, of which the text index {} MB", sizes.0 >> 20, sizes.1 >> 20);
    eprintln!(
        "closing took {:.0} s, {:.2} ms a row",
        closed.as_secs_f64(),
        closed.as_secs_f64() * 1e3 / rows as f64
    );

    // as many connections as a server has for it
    let reader = Reader { store: OwnerStore::new(&bench.database.aside(4)), owner: owner().await };
    let logs = reader.logs(until).await;
    // of what the rows of the first seed are made from
    let phrase = Rows::new(3).phrase(77);
    let texts = ["học phí", "HOC PHI", phrase.as_str(), "chuyen cong tac zurich", "một chữ không hề có"];
    let search = reader.searches(until, &texts, true).await;
    let bounded = reader.searches(until, &["zq", "học phí học phí học phí đăng ký học phí"], false).await;
    let facets = reader.facets(until).await;
    let text_facets = reader.text_facets(&texts).await;
    let result = json!({
        "logs_p95_ms": round(logs, 1),
        "search_p95_ms": round(search, 1),
        "bounded_search_ms": round(bounded, 0),
        "facets_p95_ms": round(facets, 1),
        "text_facets_p95_ms": round(text_facets, 1),
        "text_index_bytes_per_row": sizes.1 / rows as i64,
        "close_ms_per_row": round(closed.as_secs_f64() * 1e3 / rows as f64, 3),
        "large_rows": rows,
    });
    result.as_object().cloned().unwrap_or_default()
}

/// Makes the rows, and closes the days that are over: how long that took.
async fn prepare(bench: &mut Bench, until: OffsetDateTime, rows: usize) -> Duration {
    let midnight = until.replace_time(time::Time::MIDNIGHT);
    let hot = rows / 50;
    fill(bench, (midnight - YEAR, midnight), 3, rows - hot, Rows::large).await;
    fill(bench, (midnight, until), 4, hot, Rows::large).await;
    let mut source = Rows::new(5);
    let few = (0..FEW).map(|n| {
        let mut row = source.large(until - YEAR * (n as f64 / FEW as f64));
        row.question = Some(format!("{RARE} {n}").into());
        row
    });
    bench.store.insert(&few.collect::<Vec<_>>()).await.expect("rows");
    bench.rollups.fold_all().await.expect("a fold");
    bench.close_days(midnight.date()).await
}

/// Each filter of the list, of one tenant and of all.
fn filters(until: OffsetDateTime, n: usize) -> Vec<(&'static str, LogFilter)> {
    let any = LogFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let days = time::Duration::days;
    let tenant = Some(tenant(n % TENANTS));
    // windows that begin and end anywhere
    let at = until - time::Duration::seconds(n as i64 * 61);
    vec![
        ("all", any()),
        ("tenant", LogFilter::from(Selection { tenant, ..Selection::default() })),
        ("since", LogFilter::from(Selection { since: Some(at - days(30)), ..Selection::default() })),
        ("until", LogFilter::from(Selection { until: Some(at - days(90)), ..Selection::default() })),
        (
            "a week of a tenant",
            LogFilter::from(Selection {
                tenant,
                since: Some(at - days(107)),
                until: Some(at - days(100)),
                ..Selection::default()
            }),
        ),
        ("route", LogFilter::from(Selection { route: some("comparison"), ..Selection::default() })),
        ("status", LogFilter::from(Selection { status: some("ERROR"), ..Selection::default() })),
        ("success", LogFilter::from(Selection { status: some("SUCCESS"), ..Selection::default() })),
        ("none such", LogFilter::from(Selection { status: some("FAIL_CLOSED"), ..Selection::default() })),
        (
            "route and status",
            LogFilter::from(Selection {
                route: some("comparison"),
                status: some("ERROR"),
                ..Selection::default()
            }),
        ),
        (
            "tenant, route and status",
            LogFilter::from(Selection {
                tenant,
                route: some("comparison"),
                status: some("ERROR"),
                ..Selection::default()
            }),
        ),
    ]
}

// === impl Reader ===

impl Reader {
    async fn page(&self, filter: &LogFilter, page: Page, took: &mut Vec<Duration>) -> LogPage {
        let began = Instant::now();
        let list = self.store.logs(&self.owner, filter, &page).await.expect("a page");
        took.push(began.elapsed());
        list
    }

    async fn logs(&self, until: OffsetDateTime) -> f64 {
        let mut all = Vec::new();
        for which in 0..filters(until, 0).len() {
            let (mut first, mut offset, mut cursor) = (Vec::new(), Vec::new(), Vec::new());
            let mut name = "";
            for n in 0..ROUNDS {
                let filter;
                (name, filter) = filters(until, n).swap_remove(which);
                let total = self.store.log_facets(&self.owner, &filter).await.expect("facets").total;
                let deep = DEEP.min(total.saturating_sub(2 * u64::from(PAGE)));
                let list = self.page(&filter, Page::first(PAGE), &mut first).await;
                assert_eq!(list.items.len() as u64, total.min(PAGE.into()), "{name}");
                let list = self.page(&filter, Page::first(PAGE).skipping(deep), &mut offset).await;
                assert_eq!(list.items.len() as u64, total.min(PAGE.into()), "{name}");
                if let Some(next) = list.next {
                    let list = self.page(&filter, Page::first(PAGE).after(next), &mut cursor).await;
                    assert!(!list.items.is_empty(), "{name}");
                }
            }
            all.extend(first.iter().chain(&offset).chain(&cursor));
            let cursor = if cursor.is_empty() { 0.0 } else { p95_ms(&mut cursor) };
            let (first, offset) = (p95_ms(&mut first), p95_ms(&mut offset));
            eprintln!(
                "{name:<26} first {first:>7.2} ms, 1,000th by offset {offset:>7.2} ms, by cursor {cursor:>7.2} ms"
            );
        }
        p95_ms(&mut all)
    }

    async fn searches(&self, until: OffsetDateTime, texts: &[&str], whole: bool) -> f64 {
        let mut all = Vec::new();
        for text in texts {
            for which in [0, 1, 2, 5, 6] {
                let mut took = Vec::new();
                let mut last = None;
                let mut name = "";
                for n in 0..ROUNDS / 2 {
                    let filter;
                    (name, filter) = filters(until, n).swap_remove(which);
                    let filter = LogFilter { text: SearchText::new(text), ..filter };
                    last = Some(self.page(&filter, Page::first(PAGE), &mut took).await);
                }
                all.extend(&took);
                let list = last.expect("a round");
                assert!(list.complete || !whole, "{text} by {name}: {:?}", list.searched_until);
                let (found, took) = (list.items.len(), p95_ms(&mut took));
                eprintln!(
                    "{text:<26.26} by {name:<8} {found:>3} found, complete {}: {took:>8.2} ms",
                    list.complete
                );
            }
        }
        p95_ms(&mut all)
    }

    async fn facets(&self, until: OffsetDateTime) -> f64 {
        let mut all = Vec::new();
        for which in 0..filters(until, 0).len() {
            let mut took = Vec::new();
            let mut name = "";
            for n in 0..ROUNDS {
                let filter;
                (name, filter) = filters(until, n).swap_remove(which);
                let began = Instant::now();
                assert!(self.store.log_facets(&self.owner, &filter).await.expect("facets").exact);
                took.push(began.elapsed());
            }
            all.extend(&took);
            eprintln!("facets of {name:<26} {:>7.2} ms", p95_ms(&mut took));
        }
        p95_ms(&mut all)
    }

    async fn text_facets(&self, texts: &[&str]) -> f64 {
        let mut all = Vec::new();
        for text in texts {
            let mut took = Vec::new();
            let mut last = None;
            for _ in 0..ROUNDS {
                let filter = LogFilter { text: SearchText::new(text), ..LogFilter::default() };
                let began = Instant::now();
                last = Some(self.store.log_facets(&self.owner, &filter).await.expect("facets"));
                took.push(began.elapsed());
            }
            all.extend(&took);
            let last = last.expect("a round");
            eprintln!(
                "facets of {text:<26.26} {} counted, exact {}: {:>7.2} ms",
                last.total,
                last.exact,
                p95_ms(&mut took)
            );
        }
        p95_ms(&mut all)
    }
}

/// The scope of an owner, as a login gives it.
pub async fn owner() -> OwnerScope {
    let password = "nine-lives-of-a-lucky-cat";
    let secret = Secret::new("k7Pq2mXv9RtY4wZb6NcJ8sLd3FhG5aQe");
    let config = OwnerAuthConfig::new("owner", OwnerPassword::Plain(Secret::new(password)), secret);
    let auth = OwnerAuth::new(config).expect("settings");
    let body = Full::new(Bytes::from(json!({ "username": "owner", "password": password }).to_string()));
    let login = Request::post("/owner/auth/login").header(HOST, "127.0.0.1:1");
    let login = login.header(CONTENT_TYPE, "application/json").body(body).expect("a request");
    let answer: Response<Full<Bytes>> =
        LoginService::new(auth.clone()).oneshot(login).await.expect("an answer");
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let inner = service_fn(move |request: Request<()>| {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) =
            request.extensions().get::<OwnerScope>().cloned();
        async { Ok::<_, Infallible>(Response::new(Bytes::new())) }
    });
    let request =
        Request::get("/").header(HOST, "127.0.0.1:1").header(COOKIE, cookie).body(()).expect("a request");
    OwnerAuthLayer::new(auth).layer(inner).oneshot(request).await.expect("an answer");
    let scope = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    scope.expect("a scope")
}

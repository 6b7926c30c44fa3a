//! Pages, searches and counts, against a private cluster and against what a plain walk over the rows finds.

use std::time::Duration;

use futures_util::TryStreamExt;
use rag_tower::answer::Usage;
use rag_tower::postgres::{
    NewHandoff, PgFeedback, PgHandoffs, PgPartitions, PgRollups, PgTraceStore, Rating, SearchText, Selection,
};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{AskId, ErrorKind, Finish, Stage};
use time::OffsetDateTime;
use time::macros::{date, datetime};

use super::*;
use crate::owner_store::file::{Columns, Format};
use crate::owner_store::tests::Fixture;

const DAY: OffsetDateTime = datetime!(2026-03-10 00:00 UTC);
const ROUTES: [Option<&str>; 3] = [None, Some("course_search"), Some("comparison")];
const TEXTS: [&str; 4] =
    ["Học phí khóa IELTS?", "how much is the COURSE", "100%_ chắc chắn \\o/", "Đường Nguyễn Huệ ở đâu"];

/// Row `n` of a set in which times meet in threes, spread over four days; they differ in all that is filtered by.
fn row(n: i64) -> TraceRow {
    let at = DAY + time::Duration::minutes(n / 3 * 23);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), 0);
    let id = AskId::new(Uuid::new_v7(stamp));
    let tenant = ["a", "b"][n as usize % 2];
    let channel = ["web", "api"][n as usize / 2 % 2];
    let model = [None, Some("m")][n as usize / 7 % 2];
    let mut row: TraceRow = serde_json::from_value(serde_json::json!({
        "trace_id": id, "ts": "2026-01-01T00:00:00Z", "tenant_id": TenantId::named(tenant),
        "channel": channel, "route": ROUTES[n as usize % 3], "outcome": "truncated",
        "latency": Duration::from_millis(5), "question": TEXTS[n as usize / 5 % 4], "answer": format!("tok{n}x, 0912345123"),
        "sources": [], "tool_metadata": {}, "spans": [], "hits": [], "degraded": [],
        "llm_model": model,
    }))
    .unwrap();
    row.ts = id.timestamp().unwrap();
    row.outcome = match n % 10 {
        0 => Outcome::Failed(ErrorKind::Internal, Stage::Generate),
        _ => Outcome::Completed(Finish::Stop),
    };
    row
}

/// A database with that many rows, half of them folded, and the rows, the newest first.
async fn filled(rows: i64) -> (Fixture, Vec<TraceRow>) {
    let fixture = Fixture::new().await;
    let mut all: Vec<TraceRow> = (0..rows).map(row).collect();
    let store = PgTraceStore::new(&fixture.database);
    let (first, second) = all.split_at(all.len() / 2);
    store.insert(first).await.unwrap();
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    store.insert(second).await.unwrap();
    all.sort_by_key(|row| std::cmp::Reverse((row.ts, row.trace_id.as_uuid())));
    (fixture, all)
}

/// What a filter leaves, by looking at each row.
fn plain<'r>(rows: &'r [TraceRow], filter: &LogFilter, text: Option<&str>) -> Vec<&'r TraceRow> {
    let is = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
    let passes = |row: &&TraceRow| {
        filter.which.tenant.is_none_or(|tenant| tenant == row.tenant_id)
            && filter.which.since.is_none_or(|since| row.ts >= since)
            && filter.which.until.is_none_or(|until| row.ts < until)
            && is(&filter.which.route, row.route.as_deref())
            && is(&filter.which.status, Some(row.outcome.status().as_str()))
            && is(&filter.which.channel, Some(row.channel.as_str()))
            && is(&filter.which.model, row.llm_model.as_deref())
            && text.is_none_or(|text| {
                row.question.as_deref().is_some_and(|question| question.contains(text))
                    || row.answer.as_deref().is_some_and(|answer| answer.contains(text))
            })
    };
    rows.iter().filter(passes).collect()
}

fn filters() -> Vec<LogFilter> {
    let any = LogFilter::default;
    let some = |text: &str| Some(text.to_owned());
    vec![
        any(),
        LogFilter::from(Selection { tenant: Some(TenantId::named("a")), ..Selection::default() }),
        LogFilter::from(Selection { tenant: Some(TenantId::named("nobody")), ..Selection::default() }),
        LogFilter::from(Selection { status: some("ERROR"), ..Selection::default() }),
        LogFilter::from(Selection {
            status: some("SUCCESS"),
            route: some("comparison"),
            ..Selection::default()
        }),
        LogFilter::from(Selection { status: some("FAIL_CLOSED"), ..Selection::default() }),
        LogFilter::from(Selection { channel: some("api"), model: some("m"), ..Selection::default() }),
        LogFilter::from(Selection {
            tenant: Some(TenantId::named("b")),
            route: some("course_search"),
            status: some("ERROR"),
            ..Selection::default()
        }),
        LogFilter::from(Selection {
            since: Some(DAY + time::Duration::minutes(1_111)),
            until: Some(DAY + time::Duration::hours(70)),
            ..Selection::default()
        }),
        LogFilter::from(Selection {
            since: Some(DAY + time::Duration::minutes(46)),
            until: Some(DAY + time::Duration::minutes(47)),
            ..Selection::default()
        }),
        LogFilter::from(Selection {
            tenant: Some(TenantId::named("a")),
            until: Some(DAY + time::Duration::hours(30)),
            channel: some("web"),
            ..Selection::default()
        }),
    ]
}

/// Every page that cursors lead to.
async fn walk(store: &OwnerStore, filter: &LogFilter, limit: u32) -> Vec<Uuid> {
    let mut page = Page::first(limit);
    let mut seen = Vec::new();
    loop {
        let list = store.logs(&OwnerScope::for_test(), filter, &page).await.unwrap();
        assert!(list.complete && list.items.len() <= limit as usize);
        seen.extend(list.items.iter().map(|line| line.trace_id));
        let Some(next) = list.next else { return seen };
        page = Page::first(limit).after(next.to_string().parse().unwrap());
    }
}

#[tokio::test]
async fn every_filter_shows_its_rows_by_cursor_and_by_offset() {
    let (fixture, rows) = filled(700).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    for filter in filters() {
        let expected: Vec<Uuid> =
            plain(&rows, &filter, None).iter().map(|row| row.trace_id.as_uuid()).collect();
        assert_eq!(walk(&store, &filter, 37).await, expected, "{filter:?}");
        for offset in [0, 1, 40, 333, 690, 5_000] {
            let page = Page::first(10).skipping(offset);
            let list = store.logs(&owner, &filter, &page).await.unwrap();
            let shown: Vec<Uuid> = list.items.iter().map(|line| line.trace_id).collect();
            let wanted: Vec<Uuid> = expected.iter().skip(offset as usize).take(10).copied().collect();
            assert_eq!(shown, wanted, "{filter:?} from {offset}");
            assert_eq!(
                (list.total, list.total_is_capped),
                (Some(expected.len() as u64), false),
                "{filter:?}"
            );
        }
        let middle = store.logs(&owner, &filter, &Page::first(20)).await.unwrap();
        if let Some(next) = middle.next {
            let page = Page::first(10).after(next).skipping(15);
            let list = store.logs(&owner, &filter, &page).await.unwrap();
            let shown: Vec<Uuid> = list.items.iter().map(|line| line.trace_id).collect();
            assert_eq!(shown, expected.iter().skip(35).take(10).copied().collect::<Vec<_>>(), "{filter:?}");
            assert_eq!(list.total, None);
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn rows_that_come_between_pages_move_nothing() {
    let (fixture, rows) = filled(60).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let filter = LogFilter::default();
    let first = store.logs(&owner, &filter, &Page::first(31)).await.unwrap();
    let last = first.items.last().unwrap();
    // newer ones, and one of the very time at which the page ended
    let mut late: Vec<TraceRow> = (100..130).map(row).collect();
    let same = rows.iter().position(|row| row.trace_id.as_uuid() == last.trace_id).unwrap();
    late.push(row(59 - same as i64));
    PgTraceStore::new(&fixture.database).insert(&late).await.unwrap();
    let rest = store.logs(&owner, &filter, &Page::first(100).after(first.next.unwrap())).await.unwrap();
    let mut seen: Vec<Uuid> = first.items.iter().chain(&rest.items).map(|line| line.trace_id).collect();
    let before: Vec<Uuid> = rows.iter().map(|row| row.trace_id.as_uuid()).collect();
    seen.retain(|id| before.contains(id));
    assert_eq!(seen, before, "each once, in order");
    assert!(rest.items.len() <= before.len() - 31 + 1, "nothing newer");
    fixture.stop().await;
}

#[tokio::test]
async fn days_that_were_dropped_are_not_counted() {
    let (mut fixture, rows) = filled(500).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    fixture.run("DROP TABLE rag_tower.request_traces_20260310".into()).await;
    let left: Vec<_> = rows.iter().filter(|row| row.ts.date() > date!(2026 - 03 - 10)).collect();
    let filter = LogFilter::default();
    let list = store.logs(&owner, &filter, &Page::first(50).skipping(left.len() as u64 - 2)).await.unwrap();
    assert_eq!((list.total, list.items.len(), list.next), (Some(left.len() as u64), 2, None));
    assert_eq!(walk(&store, &filter, 50).await.len(), left.len());
    assert_eq!(store.log_facets(&owner, &filter).await.unwrap().total, left.len() as u64);
    // a hole in the middle only makes a page go on
    fixture.run("DROP TABLE rag_tower.request_traces_20260312".into()).await;
    let left = left.iter().filter(|row| row.ts.date() != date!(2026 - 03 - 12)).count();
    assert_eq!(walk(&store, &filter, 50).await.len(), left);
    fixture.stop().await;
}

/// What is looked for, and what of the rows it is written as.
const SEARCHES: [(&str, &str); 9] = [
    ("hoc phi KHOA", "Học phí khóa"),
    ("HỌC PHÍ khoá", "Học phí khóa"),
    ("duong nguyen hue", "Đường Nguyễn Huệ"),
    ("tok123x", "tok123x"),
    ("the course", "the COURSE"),
    ("100%_", "100%_"),
    ("\\o/", "\\o/"),
    ("o", "o"),
    ("not there at all", "not there at all"),
];

async fn searches_agree(store: &OwnerStore, rows: &[TraceRow]) {
    for (wanted, written) in SEARCHES {
        for filter in filters() {
            let expected: Vec<Uuid> =
                plain(rows, &filter, Some(written)).iter().map(|row| row.trace_id.as_uuid()).collect();
            // a letter alone is in other words of a row too, with marks or without
            if wanted == "o" && filter.which.tenant.is_some() {
                continue;
            }
            let filter = LogFilter { text: SearchText::new(wanted), ..filter };
            let found = walk(store, &filter, 23).await;
            if wanted == "o" {
                assert!(expected.iter().all(|id| found.contains(id)));
            } else {
                assert_eq!(found, expected, "{wanted} {filter:?}");
                let page = Page::first(10).skipping(30);
                let list = store.logs(&OwnerScope::for_test(), &filter, &page).await.unwrap();
                let shown: Vec<Uuid> = list.items.iter().map(|line| line.trace_id).collect();
                assert_eq!(shown, expected.iter().skip(30).take(10).copied().collect::<Vec<_>>());
                let total = (expected.len() <= 40).then_some(expected.len() as u64);
                assert_eq!(list.total, total, "{wanted} {filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn open_and_closed_days_and_a_missing_extension_find_the_same() {
    let (mut fixture, mut rows) = filled(700).await;
    let store = OwnerStore::new(&fixture.database);
    searches_agree(&store, &rows).await;
    let partitions = PgPartitions::new(&fixture.database);
    // some of the days, then all
    assert_eq!(partitions.close(date!(2026 - 03 - 12), 2).await.unwrap(), 2);
    searches_agree(&store, &rows).await;
    assert!(partitions.close(date!(2026 - 04 - 01), 400).await.unwrap() > 1);
    searches_agree(&store, &rows).await;
    // days that are looked into at once, and one after the other
    searches_agree(&OwnerStore::new(&fixture.database.aside(1)), &rows).await;
    // what comes late into a closed day is found
    let late = row(4);
    PgTraceStore::new(&fixture.database).insert(&[late.clone(), late.clone()]).await.unwrap();
    rows.push(late);
    rows.sort_by_key(|row| std::cmp::Reverse((row.ts, row.trace_id.as_uuid())));
    searches_agree(&store, &rows).await;
    // an index that cannot be used is not
    fixture.run("DROP EXTENSION pg_trgm CASCADE".into()).await;
    searches_agree(&store, &rows).await;
    assert_eq!(partitions.close(date!(2026 - 04 - 01), 400).await.unwrap(), 0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_search_without_time_says_how_far_it_came_and_goes_on() {
    let (fixture, rows) = filled(700).await;
    let store = OwnerStore::new(&fixture.database);
    let filter = LogFilter { text: SearchText::new("tok3x"), ..LogFilter::default() };
    let text = filter.text.as_ref().unwrap();
    let mut after = None;
    let mut found = Vec::new();
    let mut stops = 0;
    loop {
        // enough for one statement
        let hunt = Hunt { filter: &filter, text, shape: LINE, most: 5, time: Duration::ZERO };
        let mut tx = OwnerTx::snapshot(&fixture.database).await.unwrap();
        let windows = windows(&mut tx, &filter, after, false).await.unwrap();
        let part = store.hunt::<LogLine>(tx, &hunt, windows, after).await.unwrap();
        found.extend(part.rows.into_iter().map(|line| line.trace_id));
        let Some(stopped) = part.stopped else { break };
        assert!(
            stopped.ts > rows.last().unwrap().ts && after.is_none_or(|after: Cursor| stopped.ts < after.ts)
        );
        after = Some(stopped);
        stops += 1;
    }
    assert_eq!(
        found,
        plain(&rows, &filter, Some("tok3x")).iter().map(|r| r.trace_id.as_uuid()).collect::<Vec<_>>()
    );
    assert!(stops >= 2, "{stops}");
    fixture.stop().await;
}

#[tokio::test]
async fn t74_what_is_hostile_is_answered_or_refused_as_such() {
    let (fixture, _) = filled(60).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let long = "học phí ".repeat(130_000);
    for text in ["%%%", "___", "a\0b", "' OR 1=1 --", long.as_str()] {
        let filter = LogFilter { text: SearchText::new(text), ..LogFilter::default() };
        let list = store.logs(&owner, &filter, &Page::first(10)).await.unwrap();
        assert_eq!(list.items.len(), 0, "{}", &text[..5.min(text.len())]);
        assert_eq!(store.log_facets(&owner, &filter).await.unwrap().total, 0);
    }
    let odd =
        LogFilter::from(Selection { route: Some("'; DROP TABLE x; --".into()), ..Selection::default() });
    assert_eq!(store.logs(&owner, &odd, &Page::first(10)).await.unwrap().total, Some(0));

    // a statement that takes too long is stopped and says so
    let mut tx = OwnerTx::snapshot(&fixture.database).await.unwrap();
    tx.bound(Duration::from_millis(20)).await.unwrap();
    let stopped = sqlx::query("SELECT pg_sleep(5)").execute(tx.connection()).await.unwrap_err();
    assert!(matches!(DatabaseError::from(stopped), DatabaseError::TooLong(_)));
    drop(tx);
    fixture.stop().await;
}

#[tokio::test]
async fn facets_count_what_there_is() {
    let (fixture, rows) = filled(700).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    for filter in filters() {
        let facets = store.log_facets(&owner, &filter).await.unwrap();
        assert!(facets.exact);
        assert_eq!(facets.total, plain(&rows, &filter, None).len() as u64, "{filter:?}");
        let but_route =
            LogFilter { which: Selection { route: None, ..filter.which.clone() }, ..filter.clone() };
        for route in ROUTES {
            let with =
                plain(&rows, &but_route, None).iter().filter(|row| row.route.as_deref() == route).count();
            assert_eq!(count(&facets.route, route), with as u64, "{filter:?} {route:?}");
        }
        let but_status =
            LogFilter { which: Selection { status: None, ..filter.which.clone() }, ..filter.clone() };
        for status in ["SUCCESS", "ERROR", "FAIL_CLOSED"] {
            let of = LogFilter {
                which: Selection { status: Some(status.into()), ..but_status.which.clone() },
                ..but_status.clone()
            };
            assert_eq!(count(&facets.status, Some(status)), plain(&rows, &of, None).len() as u64);
        }
        for tenant in ["a", "b"] {
            let of = LogFilter {
                which: Selection { tenant: Some(TenantId::named(tenant)), ..filter.which.clone() },
                ..filter.clone()
            };
            let id = TenantId::named(tenant).to_string();
            assert_eq!(count(&facets.tenant, Some(&id)), plain(&rows, &of, None).len() as u64, "{filter:?}");
        }
        // with a text, of its matches
        let filter = LogFilter { text: SearchText::new("hoc phi"), ..filter };
        let facets = store.log_facets(&owner, &filter).await.unwrap();
        let matches = plain(&rows, &filter, Some("Học phí"));
        assert_eq!((facets.total, facets.exact), (matches.len() as u64, true));
        let of_web = matches.iter().filter(|row| row.channel.as_str() == "web").count();
        assert_eq!(count(&facets.channel, Some("web")), of_web as u64);
    }
    let names = store.log_facets(&owner, &LogFilter::default()).await.unwrap().tenant;
    assert!(names.iter().all(|tenant| matches!(tenant.name.as_deref(), Some("a" | "b"))));
    fixture.stop().await;
}

fn count(facet: &[FacetCount], value: Option<&str>) -> u64 {
    facet.iter().find(|count| count.value.as_deref() == value).map_or(0, |count| count.count)
}

/// Row `n` of a set that differs in what only rows know.
fn fine_row(n: i64) -> TraceRow {
    let mut row = row(n);
    row.latency = Duration::from_millis(n.unsigned_abs() * 3);
    row.usage =
        (n % 4 > 0).then(|| Usage { input_tokens: n.unsigned_abs(), output_tokens: 5, estimated: false });
    row.cost_estimate = (n % 3 > 0).then_some(n as f64 / 1e4);
    if n % 6 == 0 {
        row.tool_metadata.insert("cache".into(), "hit".into());
    }
    row.question = Some(format!("=1+{n}, gọi 0912345678").into());
    row
}

/// Whether row `n` is to be shown.
type Passes<'a> = Box<dyn Fn(usize) -> bool + 'a>;

#[tokio::test]
async fn what_only_rows_know_is_filtered_by_looking_at_them() {
    let fixture = Fixture::new().await;
    let rows: Vec<TraceRow> = (0..300).map(fine_row).collect();
    PgTraceStore::new(&fixture.database).insert(&rows).await.unwrap();
    let (feedback, handoffs) = (PgFeedback::new(&fixture.database), PgHandoffs::new(&fixture.database));
    for (n, row) in rows.iter().enumerate().filter(|(n, _)| n % 7 == 0) {
        let scope = rag_tower::test_util::granted(row.tenant_id);
        let rating = if n % 2 == 0 { Rating::Up } else { Rating::Down };
        feedback.put(&scope, row.trace_id, rating, None).await.unwrap();
        if n % 3 == 0 {
            let mut ticket = NewHandoff::new("asked_for_a_person");
            ticket.trace = Some(row.trace_id);
            handoffs.open(&scope, &ticket).await.unwrap();
        }
        // of another tenant: it is about nothing
        let other = rag_tower::test_util::scope("c");
        feedback.put(&other, rows[n + 1].trace_id, Rating::Down, None).await.unwrap();
    }
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let tokens = |n: usize| (!n.is_multiple_of(4)).then_some(n as i64 + 5);
    let cost = |n: usize| (!n.is_multiple_of(3)).then_some(n as f64 / 1e4);
    let is_hit = |n: usize| n.is_multiple_of(6);
    let answered = |n: usize| rows[n].llm_model.is_some();
    let any = Fine::default;
    let cases: Vec<(Fine, Passes<'_>)> = vec![
        (Fine { reason: Some("internal".into()), ..any() }, Box::new(|n| n % 10 == 0)),
        (Fine { feedback: Some(Thumbs::Up), ..any() }, Box::new(|n| n % 14 == 0)),
        (Fine { feedback: Some(Thumbs::Down), ..any() }, Box::new(|n| n % 7 == 0 && n % 2 == 1)),
        (Fine { feedback: Some(Thumbs::Any), ..any() }, Box::new(|n| n % 7 == 0)),
        (Fine { feedback: Some(Thumbs::None), ..any() }, Box::new(|n| n % 7 > 0)),
        (Fine { handoff: Some(true), ..any() }, Box::new(|n| n % 21 == 0)),
        (Fine { handoff: Some(false), ..any() }, Box::new(|n| n % 21 > 0)),
        (Fine { cache: Some(Cache::Hit), ..any() }, Box::new(is_hit)),
        (Fine { cache: Some(Cache::Miss), ..any() }, Box::new(|n| answered(n) && !is_hit(n))),
        (Fine { min_ms: Some(299.5), max_ms: Some(600.5), ..any() }, Box::new(|n| (100..=200).contains(&n))),
        (
            Fine { min_cost: Some(0.01), max_cost: Some(0.02), ..any() },
            Box::new(|n| cost(n).is_some_and(|_| (100..=200).contains(&n))),
        ),
        (
            Fine { min_tokens: Some(10), max_tokens: Some(40), ..any() },
            Box::new(|n| tokens(n).is_some_and(|tokens| (10..=40).contains(&tokens))),
        ),
    ];
    let mut sorted: Vec<(usize, &TraceRow)> = rows.iter().enumerate().collect();
    sorted.sort_by_key(|(_, row)| std::cmp::Reverse((row.ts, row.trace_id.as_uuid())));
    for (fine, passes) in cases {
        for tenant in [None, Some(TenantId::named("a"))] {
            let expected: Vec<Uuid> = sorted
                .iter()
                .filter(|(n, row)| passes(*n) && tenant.is_none_or(|tenant| tenant == row.tenant_id))
                .map(|(_, row)| row.trace_id.as_uuid())
                .collect();
            let which = Selection { tenant, ..Selection::default() };
            let filter = LogFilter { which, text: None, fine: fine.clone() };
            assert_eq!(walk(&store, &filter, 11).await, expected, "{fine:?}");
            let list = store.logs(&owner, &filter, &Page::first(200).skipping(2)).await.unwrap();
            let shown: Vec<Uuid> = list.items.iter().map(|line| line.trace_id).collect();
            assert_eq!(shown, expected.iter().skip(2).take(200).copied().collect::<Vec<_>>(), "{fine:?}");
            if expected.len() < 200 {
                assert_eq!(list.total, Some(expected.len() as u64), "{fine:?}");
            }
            let facets = store.log_facets(&owner, &filter).await.unwrap();
            assert_eq!((facets.total, facets.exact), (expected.len() as u64, true), "{fine:?}");
            let text = LogFilter { text: SearchText::new("goi 091"), ..filter };
            assert_eq!(walk(&store, &text, 50).await, expected, "{fine:?}");
        }
    }
    // what a line shows is what was filtered by
    let all = store.logs(&owner, &LogFilter::default(), &Page::first(200)).await.unwrap();
    for line in &all.items {
        let n = rows.iter().position(|row| row.trace_id.as_uuid() == line.trace_id).unwrap();
        let thumb = (n % 7 == 0).then_some(if n % 2 == 0 { "up" } else { "down" });
        assert_eq!((line.feedback.as_deref(), line.handoff), (thumb, n % 21 == 0));
        let cache = if is_hit(n) { Some("hit") } else { answered(n).then_some("miss") };
        assert_eq!((line.cache.as_deref(), line.cost_usd), (cache, cost(n)));
        assert_eq!(line.input_tokens.zip(line.output_tokens).map(|(a, b)| a + b), tokens(n));
    }
    let facets = store.log_facets(&owner, &LogFilter::default()).await.unwrap();
    assert_eq!(facets.sampled, 300);
    let expected = |count: fn(usize) -> bool| (0..300).filter(|n| count(*n)).count() as u64;
    assert_eq!(count(&facets.feedback, Some("up")), expected(|n| n % 14 == 0));
    assert_eq!(count(&facets.handoff, Some("yes")), expected(|n| n % 21 == 0));
    assert_eq!(count(&facets.cache, Some("hit")), expected(|n| n % 6 == 0));
    assert_eq!(count(&facets.reason, Some("internal")), expected(|n| n % 10 == 0));
    fixture.stop().await;
}

#[tokio::test]
async fn a_look_through_rows_that_runs_out_of_time_says_how_far_it_came() {
    let (fixture, rows) = filled(700).await;
    let filter = LogFilter { fine: Fine { min_ms: Some(5.0), ..Fine::default() }, ..LogFilter::default() };
    let (mut after, mut found, mut stops) = (None, Vec::new(), 0);
    loop {
        let mut tx = OwnerTx::snapshot(&fixture.database).await.unwrap();
        let mut windows = windows(&mut tx, &filter, after, false).await.unwrap();
        // as if each day were long
        windows.iter_mut().for_each(|window| window.rows = 1_000_000);
        let part: Found<LogLine> =
            narrowed(&mut tx, &filter, LINE, windows, after, (1_000, Duration::ZERO)).await.unwrap();
        found.extend(part.rows.into_iter().map(|line| line.trace_id));
        let Some(stopped) = part.stopped else { break };
        assert!(after.is_none_or(|after: Cursor| stopped.ts < after.ts));
        after = Some(stopped);
        stops += 1;
    }
    assert_eq!(found, rows.iter().map(|row| row.trace_id.as_uuid()).collect::<Vec<_>>());
    assert!(stops >= 2, "{stops}");
    fixture.stop().await;
}

#[tokio::test]
async fn t72_an_export_is_the_filter_and_the_columns_and_no_formula() {
    let fixture = Fixture::new().await;
    let rows: Vec<TraceRow> = (0..450).map(fine_row).collect();
    PgTraceStore::new(&fixture.database).insert(&rows).await.unwrap();
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let filter = LogFilter::from(Selection { tenant: Some(TenantId::named("a")), ..Selection::default() });
    let columns = || Columns::read(Some("trace_id,question,cost_usd,answer"), &LOG_COLUMNS, 1).unwrap();
    let export = |format| store.export_logs(owner.clone(), filter.clone(), columns(), format);
    let pieces: Vec<bytes::Bytes> = export(Format::Csv).try_collect().await.unwrap();
    assert!(pieces.len() > 1, "more than one piece");
    let text = String::from_utf8(pieces.concat()).unwrap();
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("trace_id,question,cost_usd,answer"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let expected = walk(&store, &filter, 100).await;
    assert_eq!((lines.len(), expected.len()), (225, 225));
    for (line, id) in lines.iter().zip(&expected) {
        assert!(line.starts_with(&format!("{id},\"'=1+")), "{line}");
        assert!(line.contains("09****678") && !line.contains("0912345678"), "{line}");
    }
    let json: Vec<bytes::Bytes> = export(Format::JsonLines).try_collect().await.unwrap();
    let json = String::from_utf8(json.concat()).unwrap();
    let ids: Vec<Uuid> = json
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value["question"].as_str().unwrap().starts_with("=1+"), "text is text in JSON");
            assert_eq!(value.as_object().unwrap().len(), 4);
            value["trace_id"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(ids, expected);
    // one that is dropped leaves nothing behind that would keep the database from closing
    let mut begun = Box::pin(export(Format::Csv));
    begun.try_next().await.unwrap();
    drop(begun);
    fixture.stop().await;
}

#[tokio::test]
async fn a_live_view_shows_each_ask_once_however_late_it_ends() {
    let fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let traces = PgTraceStore::new(&fixture.database);
    let ago = |seconds: i64, tenant: &str| {
        let at = OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
        let stamp =
            uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), at.nanosecond());
        let mut row = row(1);
        row.trace_id = AskId::new(Uuid::new_v7(stamp));
        row.ts = row.trace_id.timestamp().unwrap();
        row.tenant_id = TenantId::named(tenant);
        row
    };
    let filter = LogFilter::from(Selection { tenant: Some(TenantId::named("a")), ..Selection::default() });
    let mut tail = Tail::new(filter.clone(), None);
    let look = async |tail: &mut Tail| -> Vec<Uuid> {
        store.look(&owner, tail).await.unwrap().into_iter().map(|(_, line)| line.trace_id).collect()
    };
    traces.insert(&[ago(20, "a")]).await.unwrap();
    assert!(look(&mut tail).await.is_empty(), "what was there before is not new");
    let (early, late, foreign) = (ago(60, "a"), ago(1, "a"), ago(1, "b"));
    traces.insert(&[early.clone(), late.clone(), foreign]).await.unwrap();
    assert_eq!(look(&mut tail).await, [early.trace_id.as_uuid(), late.trace_id.as_uuid()]);
    assert!(look(&mut tail).await.is_empty());
    // one that goes on where that one was
    let place = Cursor { ts: early.ts, id: early.trace_id.as_uuid() };
    let mut again = Tail::new(filter.clone(), Some(place));
    let again: Vec<Uuid> = look(&mut again).await;
    assert_eq!(again.last(), Some(&late.trace_id.as_uuid()));
    assert!(!again.contains(&early.trace_id.as_uuid()));
    // from an empty view on
    let mut empty =
        Tail::new(LogFilter::from(Selection { status: Some("ERROR".into()), ..Selection::default() }), None);
    assert!(look(&mut empty).await.is_empty());
    let mut failed = ago(30, "b");
    failed.outcome = Outcome::Truncated;
    traces.insert(&[failed.clone()]).await.unwrap();
    assert_eq!(look(&mut empty).await, [failed.trace_id.as_uuid()], "it began before the view did");
    fixture.stop().await;
}

#[tokio::test]
async fn a_trace_has_its_conversation_its_ticket_and_its_stages() {
    let fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let session = rag_tower::ask::SessionId::generate();
    let receipt = serde_json::json!({
        "filter": {"tenant_id": TenantId::named("a"), "branches": null},
        "received": 3, "admitted": 3, "dropped": 0,
        "database": {"role": "rag_tenant", "tenant_setting": TenantId::named("a")},
        "cache": {"result": "bypass", "partition": null},
        "verdict": "passed",
    });
    let mut rows: Vec<TraceRow> = (0..4).map(|n| fine_row(n * 6)).collect();
    for (n, row) in rows.iter_mut().enumerate() {
        // the last is another tenant's of the same session, which cannot be
        row.tenant_id = TenantId::named(if n == 3 { "b" } else { "a" });
        row.session_id = Some(session);
        row.error = Some("mail to a@example.com".into());
        let span = |n: u64| rag_tower::trace::Span {
            stage: Stage::Retrieve,
            start: Duration::from_micros(n),
            duration: Duration::from_micros(7),
        };
        row.spans = (0..120).map(span).collect();
        row.receipt = Some(serde_json::from_value(receipt.clone()).unwrap());
    }
    PgTraceStore::new(&fixture.database).insert(&rows).await.unwrap();
    let mut ticket = NewHandoff::new("asked_for_a_person");
    ticket.trace = Some(rows[1].trace_id);
    let scope = rag_tower::test_util::scope("a");
    let ticket = PgHandoffs::new(&fixture.database).open(&scope, &ticket).await.unwrap();
    let trace = store.trace(&owner, rows[1].trace_id).await.unwrap().unwrap();
    let related: Vec<Uuid> = trace.related.iter().map(|other| other.trace_id).collect();
    assert_eq!(related, [rows[0].trace_id.as_uuid(), rows[2].trace_id.as_uuid()]);
    assert!(trace.related[0].question_preview.as_deref().unwrap().contains("09****678"));
    assert_eq!(trace.handoff.unwrap()["id"], serde_json::json!(ticket.id));
    assert_eq!((trace.receipt, trace.prompt), (Some(receipt), None));
    assert_eq!(trace.error.as_deref(), Some("mail to a***@example.com"));
    let page = store.spans(&owner, rows[1].trace_id, 100, 15).await.unwrap().unwrap();
    assert_eq!((page.total, page.next, page.items[0]["start_us"].as_i64()), (120, Some(115), Some(100)));
    let last = store.spans(&owner, rows[1].trace_id, 115, 15).await.unwrap().unwrap();
    assert_eq!((last.next, last.items.as_array().unwrap().len()), (None, 5));
    assert!(store.spans(&owner, AskId::generate(), 0, 10).await.unwrap().is_none());
    fixture.stop().await;
}

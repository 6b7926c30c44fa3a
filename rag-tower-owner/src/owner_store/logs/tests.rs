//! Pages, searches and counts, against a private cluster and against what a plain walk over the rows finds.

use std::time::Duration;

use rag_tower::postgres::{PgPartitions, PgRollups, PgTraceStore};
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{ErrorKind, Finish, Stage};
use time::OffsetDateTime;
use time::macros::{date, datetime};

use super::*;
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
        filter.tenant.is_none_or(|tenant| tenant == row.tenant_id)
            && filter.since.is_none_or(|since| row.ts >= since)
            && filter.until.is_none_or(|until| row.ts < until)
            && is(&filter.route, row.route.as_deref())
            && is(&filter.status, Some(row.outcome.status().as_str()))
            && is(&filter.channel, Some(row.channel.as_str()))
            && is(&filter.model, row.llm_model.as_deref())
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
        LogFilter { tenant: Some(TenantId::named("a")), ..any() },
        LogFilter { tenant: Some(TenantId::named("nobody")), ..any() },
        LogFilter { status: some("ERROR"), ..any() },
        LogFilter { status: some("SUCCESS"), route: some("comparison"), ..any() },
        LogFilter { status: some("FAIL_CLOSED"), ..any() },
        LogFilter { channel: some("api"), model: some("m"), ..any() },
        LogFilter {
            tenant: Some(TenantId::named("b")),
            route: some("course_search"),
            status: some("ERROR"),
            ..any()
        },
        LogFilter {
            since: Some(DAY + time::Duration::minutes(1_111)),
            until: Some(DAY + time::Duration::hours(70)),
            ..any()
        },
        LogFilter {
            since: Some(DAY + time::Duration::minutes(46)),
            until: Some(DAY + time::Duration::minutes(47)),
            ..any()
        },
        LogFilter {
            tenant: Some(TenantId::named("a")),
            until: Some(DAY + time::Duration::hours(30)),
            channel: some("web"),
            ..any()
        },
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
            if wanted == "o" && filter.tenant.is_some() {
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
async fn what_is_hostile_is_answered_or_refused_as_such() {
    let (fixture, _) = filled(60).await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let long = "học phí ".repeat(130_000);
    for text in ["%%%", "___", "a\0b", "' OR 1=1 --", long.as_str()] {
        let filter = LogFilter { text: SearchText::new(text), ..LogFilter::default() };
        let list = store.logs(&owner, &filter, &Page::first(10)).await.unwrap();
        assert_eq!(list.items.len(), 0, "{}", &text[..5.min(text.len())]);
        assert_eq!(store.log_facets(&owner, &filter).await.unwrap().total, 0);
    }
    let odd = LogFilter { route: Some("'; DROP TABLE x; --".into()), ..LogFilter::default() };
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
        let but_route = LogFilter { route: None, ..filter.clone() };
        for route in ROUTES {
            let with =
                plain(&rows, &but_route, None).iter().filter(|row| row.route.as_deref() == route).count();
            assert_eq!(count(&facets.route, route), with as u64, "{filter:?} {route:?}");
        }
        let but_status = LogFilter { status: None, ..filter.clone() };
        for status in ["SUCCESS", "ERROR", "FAIL_CLOSED"] {
            let of = LogFilter { status: Some(status.into()), ..but_status.clone() };
            assert_eq!(count(&facets.status, Some(status)), plain(&rows, &of, None).len() as u64);
        }
        for tenant in ["a", "b"] {
            let of = LogFilter { tenant: Some(TenantId::named(tenant)), ..filter.clone() };
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

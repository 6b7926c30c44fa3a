//! Charts, against a private cluster and against what the rows say.

use std::time::Duration as Took;

use rag_tower::postgres::{NewHandoff, PgFeedback, PgHandoffs, PgTraceStore, Rating};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{AbstainReason, AskId, ErrorKind, Finish, Stage};
use sqlx::Row;
use time::macros::{date, datetime};

use super::*;
use crate::owner_store::figures::Figures;
use crate::owner_store::tests::Fixture;

const ZONES: [&str; 6] =
    ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Ho_Chi_Minh", "Europe/Athens", "America/Los_Angeles"];
/// Clocks change in Los Angeles on the 8th and in Athens on the 29th.
const STARTS: [OffsetDateTime; 2] = [datetime!(2026-03-07 00:00 UTC), datetime!(2026-03-28 00:00 UTC)];

/// Row `n` of a set that lies in three days after a start; they differ in all that is told apart.
fn row(start: OffsetDateTime, n: i64) -> TraceRow {
    let at = start + Duration::seconds(n * 1_277 % 259_200);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), 0);
    let pick = |of: i64| usize::try_from(n / of).unwrap();
    let channel = ["web", "api"][pick(2) % 2];
    let route = [None, Some("course_search"), Some("comparison")][pick(1) % 3];
    let model = [None, Some("m"), Some("extractive"), Some("n")][pick(3) % 4];
    let cost = [None, Some(0.001)][pick(12) % 2];
    let mut row: TraceRow = serde_json::from_value(serde_json::json!({
        "trace_id": AskId::new(Uuid::new_v7(stamp)), "ts": "2026-01-01T00:00:00Z",
        "tenant_id": TenantId::named(["a", "b"][pick(1) % 2]), "channel": channel,
        "route": route, "outcome": "truncated",
        "latency": Took::from_micros(n.unsigned_abs() * n.unsigned_abs() * 37), "question": "q", "answer": "a",
        "sources": [], "tool_metadata": {}, "spans": [], "hits": [], "degraded": [],
        "llm_model": model, "cost_estimate": cost,
    }))
    .unwrap();
    row.ts = row.trace_id.timestamp().unwrap();
    row.ttft = (n % 4 > 0).then_some(row.latency / 2);
    row.usage = Some(rag_tower::answer::Usage { input_tokens: 100, output_tokens: 7, estimated: n % 5 == 0 });
    row.outcome = [
        Outcome::Completed(Finish::Stop),
        Outcome::Failed(ErrorKind::Internal, Stage::Generate),
        Outcome::Completed(Finish::Abstained(AbstainReason::NoDocuments)),
        Outcome::Failed(ErrorKind::Isolation, Stage::Retrieve),
        Outcome::Failed(ErrorKind::OverBudget, Stage::RateLimit),
        Outcome::Failed(ErrorKind::RateLimited, Stage::RateLimit),
        Outcome::Completed(Finish::Stop),
    ][pick(1) % 7]
        .clone();
    row
}

/// A database with rows, half of them folded, and with feedback and tickets, of which half are rolled.
async fn filled() -> Fixture {
    let mut fixture = Fixture::new().await;
    let store = PgTraceStore::new(&fixture.database);
    let (feedback, handoffs) = (PgFeedback::new(&fixture.database), PgHandoffs::new(&fixture.database));
    for half in 0..2 {
        for start in STARTS {
            let rows: Vec<TraceRow> = (half * 160..half * 160 + 160).map(|n| row(start, n)).collect();
            store.insert(&rows).await.unwrap();
            for (n, row) in rows.iter().enumerate().filter(|(n, _)| n % 9 == 0) {
                let scope = rag_tower::test_util::granted(row.tenant_id);
                let rating = if n % 2 == 0 { Rating::Up } else { Rating::Down };
                feedback.put(&scope, row.trace_id, rating, None).await.unwrap();
                let mut ticket = NewHandoff::new("asked_for_a_person");
                ticket.trace = (n % 3 == 0).then_some(row.trace_id);
                handoffs.open(&scope, &ticket).await.unwrap();
            }
            // tickets were opened soon after their asks
            let at = start + Duration::hours(5 + half * 30);
            fixture
                .run(format!(
                    "UPDATE rag_tower.handoff_tickets
                     SET ts = coalesce(rag_tower.trace_time(trace_id) + interval '1 second', timestamptz '{at}')
                     WHERE ts > '2026-05-01'"
                ))
                .await;
        }
        if half == 0 {
            PgRollups::new(&fixture.database).fold_all().await.unwrap();
        }
    }
    fixture
}

fn selections() -> Vec<Selection> {
    let any = Selection::default;
    let some = |text: &str| Some(text.to_owned());
    vec![
        any(),
        Selection { tenant: Some(TenantId::named("a")), ..any() },
        Selection { tenant: Some(TenantId::named("nobody")), ..any() },
        Selection { status: some("FAIL_CLOSED"), ..any() },
        Selection { route: some(""), model: some("m"), ..any() },
        Selection { tenant: Some(TenantId::named("b")), channel: some("web"), ..any() },
    ]
}

/// What the rows of a selection say: asks by status, without a price, tenants, thumbs up and down, tickets.
async fn plain(fixture: &mut Fixture, which: &Selection) -> (BTreeMap<String, i64>, [i64; 5]) {
    let matching = "($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::text IS NULL OR coalesce(r.route, '') = $2)
        AND ($3::text IS NULL OR coalesce(r.status, '') = $3) AND ($4::text IS NULL OR coalesce(r.channel, '') = $4)
        AND ($5::text IS NULL OR coalesce(r.llm_model, '') = $5)";
    let within = |ts: &str| format!("({ts} >= coalesce($6, {ts}) AND ($7 IS NULL OR {ts} < $7))");
    let rows = format!("rag_tower.request_traces r WHERE {matching} AND {}", within("r.ts"));
    let thumbs = |rating: i8| {
        format!(
            "(SELECT count(*) FROM rag_tower.user_feedback f JOIN rag_tower.request_traces r USING (tenant_id, trace_id)
              WHERE f.rating = {rating} AND {matching} AND {})",
            within("r.ts")
        )
    };
    let of_ask = matching.replace("r.tenant_id = $1", "h.tenant_id = $1");
    let text = format!(
        "SELECT (SELECT coalesce(jsonb_object_agg(status, n), '{{}}') FROM (SELECT r.status, count(*) AS n FROM {rows} GROUP BY 1) s),
            (SELECT count(*) FROM {rows} AND r.llm_model <> 'extractive' AND r.cost_estimate IS NULL),
            (SELECT count(DISTINCT r.tenant_id) FROM {rows}), {}, {},
            (SELECT count(*) FROM rag_tower.handoff_tickets h LEFT JOIN rag_tower.request_traces r USING (tenant_id, trace_id)
             WHERE {of_ask} AND {})",
        thumbs(1),
        thumbs(-1),
        within("h.ts"),
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(which.tenant.map(|tenant| tenant.as_uuid()))
        .bind(&which.route)
        .bind(&which.status)
        .bind(&which.channel)
        .bind(&which.model)
        .bind(which.since)
        .bind(which.until)
        .fetch_one(&mut fixture.admin)
        .await
        .unwrap();
    let statuses: serde_json::Value = row.get(0);
    (serde_json::from_value(statuses).unwrap(), [1, 2, 3, 4, 5].map(|n| row.get(n)))
}

/// What buckets say together.
fn together(series: &Timeseries) -> (BTreeMap<String, i64>, [i64; 7]) {
    let mut statuses = BTreeMap::new();
    let mut sums = [0; 7];
    for bucket in &series.buckets {
        assert_eq!(bucket.by_status.values().sum::<i64>(), bucket.requests);
        bucket.by_status.iter().for_each(|(status, n)| *statuses.entry(status.clone()).or_default() += n);
        let nanos = (bucket.cost_usd.unwrap_or(0.0) * 1e9).round() as i64;
        let counts = [
            bucket.requests,
            bucket.errors,
            bucket.input_tokens,
            nanos,
            bucket.feedback_up,
            bucket.feedback_down,
            bucket.handoffs,
        ];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    (statuses, sums)
}

fn of_figures(figures: &Figures) -> [i64; 7] {
    let up = figures.satisfaction_rate.unwrap_or(0.0) * figures.feedback_total as f64;
    let up = up.round() as i64;
    [
        figures.total_requests,
        figures.error_requests,
        figures.input_tokens,
        (figures.cost_usd.unwrap_or(0.0) * 1e9).round() as i64,
        up,
        figures.feedback_total - up,
        figures.handoff_count,
    ]
}

#[tokio::test]
async fn t111_buckets_columns_and_kinds_add_up_to_the_figures_in_every_zone() {
    let mut fixture = filled().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    for folded in [false, true] {
        if folded {
            PgRollups::new(&fixture.database).fold_all().await.unwrap();
        }
        for name in ZONES {
            let zone: Zone = name.parse().unwrap();
            let days = [
                (date!(2026 - 03 - 07), date!(2026 - 03 - 10)),
                (date!(2026 - 03 - 28), date!(2026 - 03 - 31)),
            ];
            for (n, which) in selections().into_iter().enumerate() {
                let (first, last) = days[n % 2];
                let (mut since, mut until) = (zone.start_of(first).unwrap(), zone.start_of(last).unwrap());
                if n % 3 == 1 {
                    // ends that are at no quarter
                    since += Duration::seconds(2_003);
                    until -= Duration::seconds(77);
                }
                let which = Selection { since: Some(since), until: Some(until), ..which };
                let figures = store.figures_of(&owner, &which).await.unwrap();
                let (statuses, [unpriced, tenants, up, down, tickets]) = plain(&mut fixture, &which).await;
                let sums = of_figures(&figures);
                let said = format!("{name} {which:?}");
                assert_eq!(figures.total_requests, statuses.values().sum::<i64>(), "{said}");
                assert_eq!(figures.fail_closed, statuses.get("FAIL_CLOSED").copied().unwrap_or(0), "{said}");
                assert_eq!((figures.unpriced, figures.active_tenants), (unpriced, tenants), "{said}");
                assert_eq!(sums[4..], [up, down, tickets], "{said}");
                for points in [1, 3, 70, 400] {
                    let series = store.timeseries(&owner, &which, &zone, points).await.unwrap();
                    assert!(series.buckets.len() <= points, "{}", series.buckets.len());
                    assert_eq!(together(&series), (statuses.clone(), sums), "{points} of {said}");
                }
                let heatmap = store.heatmap(&owner, &which, &zone, 24).await.unwrap();
                let cells: u64 = heatmap.cells.iter().map(|(.., count)| count).sum();
                assert_eq!(i64::try_from(cells), Ok(figures.total_requests), "{said}");
                assert!(heatmap.cells.iter().all(|(column, row, _)| {
                    *column < heatmap.columns.len() && row + 1 < heatmap.edges_ms.len()
                }));
                for (_, facet) in facets() {
                    let parts = store.breakdown(&owner, &which, facet, 2).await.unwrap();
                    let shares = parts.items.iter().map(|part| &part.share).chain(&parts.other);
                    let mut all = [0; 5];
                    for share in shares {
                        let counts = [
                            share.requests,
                            share.errors,
                            share.feedback_up,
                            share.feedback_down,
                            share.handoffs,
                        ];
                        all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                    }
                    assert_eq!(all, [sums[0], sums[1], sums[4], sums[5], sums[6]], "{said}");
                }
            }
        }
    }
    fixture.stop().await;
}

fn facets() -> [(&'static str, Facet); 5] {
    [
        ("tenant_id", Facet::Tenant),
        ("route", Facet::Route),
        ("status", Facet::Status),
        ("channel", Facet::Channel),
        ("llm_model", Facet::Model),
    ]
}

#[tokio::test]
async fn each_bucket_row_and_kind_is_what_its_rows_are() {
    let mut fixture = filled().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let zone: Zone = "America/Los_Angeles".parse().unwrap();
    let (since, until) = (datetime!(2026-03-07 08:00 UTC), datetime!(2026-03-09 07:00 UTC));
    let which = Selection { since: Some(since), until: Some(until), ..Selection::default() };
    let series = store.timeseries(&owner, &which, &zone, 2).await.unwrap();
    let ends: Vec<_> = series.buckets.iter().map(|bucket| (bucket.ts, bucket.until)).collect();
    let jump = datetime!(2026-03-08 08:00 UTC);
    assert_eq!(
        (series.step_s, ends),
        (86_400, vec![(since, jump), (jump, until)]),
        "the second has 23 hours"
    );
    for bucket in &series.buckets {
        let part = Selection { since: Some(bucket.ts), until: Some(bucket.until), ..which.clone() };
        let (statuses, [.., tickets]) = plain(&mut fixture, &part).await;
        assert_eq!((&bucket.by_status, bucket.handoffs), (&statuses, tickets));
        let figures = store.figures_of(&owner, &part).await.unwrap();
        assert_eq!(
            (bucket.p50_ms, bucket.p95_ms, bucket.p99_ms),
            (figures.p50_ms, figures.p95_ms, figures.p99_ms)
        );
        assert_eq!((bucket.ttft_p50_ms, bucket.ttft_p95_ms), (figures.ttft_p50_ms, figures.ttft_p95_ms));
    }

    // rows of the heatmap, but for what is within half a per cent of an edge
    let heatmap = store.heatmap(&owner, &which, &zone, 2).await.unwrap();
    let latencies: Vec<(OffsetDateTime, i64)> = sqlx::query_as(
        "SELECT ts, latency_us FROM rag_tower.request_traces WHERE ts >= $1 AND ts < $2 ORDER BY latency_us",
    )
    .bind(since)
    .bind(until)
    .fetch_all(&mut fixture.admin)
    .await
    .unwrap();
    let edges = &heatmap.edges_ms;
    let near = |ms: f64| edges.iter().any(|edge| (ms - edge).abs() <= edge * 0.01);
    let mut unsure = 0;
    let mut cells: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for (at, micros) in &latencies {
        let ms = *micros as f64 / 1e3;
        unsure += i64::from(near(ms));
        let row = edges.partition_point(|edge| *edge <= ms) - 1;
        *cells.entry((usize::from(*at >= jump), row)).or_default() += 1;
    }
    let off: i64 = heatmap
        .cells
        .iter()
        .map(|(column, row, count)| {
            (i64::try_from(*count).unwrap() - cells.get(&(*column, *row)).copied().unwrap_or(0)).abs()
        })
        .sum();
    assert!(off <= 2 * unsure && unsure < 30, "{off} off, {unsure} unsure");
    assert!(edges.windows(2).skip(1).all(|pair| (pair[1] / pair[0] - 2_f64.sqrt()).abs() < 1e-9));

    for (column, facet) in facets() {
        let text = format!(
            "SELECT {column}::text, count(*) FROM rag_tower.request_traces WHERE ts >= $1 AND ts < $2 GROUP BY 1"
        );
        let mut counts: Vec<(Option<String>, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(since)
            .bind(until)
            .fetch_all(&mut fixture.admin)
            .await
            .unwrap();
        let parts = store.breakdown(&owner, &which, facet, 100).await.unwrap();
        assert!(parts.other.is_none() && parts.items.is_sorted_by_key(|part| -part.share.requests));
        if facet == Facet::Tenant {
            assert!(parts.items.iter().all(|part| part.label.as_deref() == Some("T")));
        }
        let mut found: Vec<_> =
            parts.items.into_iter().map(|part| (part.value, part.share.requests)).collect();
        counts.sort();
        found.sort();
        assert_eq!(found, counts, "{column}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_range_without_ends_is_as_long_as_there_are_asks() {
    let fixture = filled().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let zone: Zone = "Asia/Kolkata".parse().unwrap();
    let all = Selection::default();
    let overview = store.overview(&owner, &all, &zone).await.unwrap();
    assert_eq!(
        (overview.previous, overview.now.since, overview.now.zone.as_str()),
        (None, None, "Asia/Kolkata")
    );
    let series = store.timeseries(&owner, &all, &zone, 96).await.unwrap();
    assert_eq!(together(&series).1, of_figures(&overview.now.figures));
    assert!(series.since <= STARTS[0] && series.until > STARTS[1]);

    // as long a time before
    let which = Selection {
        since: Some(datetime!(2026-03-08 12:00 UTC)),
        until: Some(datetime!(2026-03-09 12:00 UTC)),
        ..all
    };
    let overview = store.overview(&owner, &which, &zone).await.unwrap();
    let before = overview.previous.unwrap();
    assert_eq!(
        (before.since, before.until),
        (Some(datetime!(2026-03-07 12:00 UTC)), Some(datetime!(2026-03-08 12:00 UTC)))
    );
    assert_eq!(
        before.figures,
        store.figures(&owner, None, before.since, before.until).await.unwrap(),
        "the same as asked for alone"
    );
    assert!(before.figures.total_requests > 0 && overview.now.figures.total_requests > 0);
    fixture.stop().await;

    // where there is nothing, a day of nothing
    let fixture = Fixture::new().await;
    let store = OwnerStore::new(&fixture.database);
    let series = store.timeseries(&owner, &Selection::default(), &zone, 24).await.unwrap();
    assert_eq!((series.until - series.since, together(&series).1), (Duration::DAY, [0; 7]));
    let heatmap = store.heatmap(&owner, &Selection::default(), &zone, 24).await.unwrap();
    assert!(heatmap.edges_ms.is_empty() && heatmap.cells.is_empty() && !heatmap.columns.is_empty());
    fixture.stop().await;
}

//! Rollups say what the rows say: under concurrency, replay, kills, late facts, in every zone.

use std::time::Duration;

use futures_util::future::join_all;
use rag_tower::postgres::{
    Count, Database, DatabaseOptions, Facet, Measures, NewHandoff, OwnerTx, PgFeedback, PgHandoffs,
    PgRollups, PgTraceStore, Rating, Selection, TenantTx, migrate_traces,
};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{Outcome, Phase, TraceRow};
use rag_tower::{AbstainReason, AskId, Channel, ErrorKind, Finish, Stage};
use rag_tower_owner::config::Zone;
use rag_tower_tests::corpus::Random;
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, Row, SqlSafeStr};
use time::macros::{date, datetime};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::support::{id_of, scope, trace_row_of};

const TENANTS: [&str; 3] = ["a", "b", "c"];

/// An id of this moment.
fn id_at(at: OffsetDateTime) -> AskId {
    let stamp =
        uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), at.nanosecond());
    AskId::new(Uuid::new_v7(stamp))
}

/// A row of this moment that is different in everything that is added up.
fn any_row(random: &mut Random, at: OffsetDateTime) -> TraceRow {
    let mut pick = |n: u64| random.below(n as usize) as u64;
    let mut row = trace_row_of(id_at(at), TENANTS[pick(3) as usize]);
    row.route = [None, Some("course_search"), Some("comparison")][pick(3) as usize].map(Into::into);
    row.llm_model = [None, Some("m"), Some("n\0")][pick(3) as usize].map(Into::into);
    row.outcome = [
        Outcome::Completed(Finish::Stop),
        Outcome::Completed(Finish::Abstained(AbstainReason::NoDocuments)),
        Outcome::Truncated,
        Outcome::Cancelled(Phase::Streaming),
        Outcome::Failed(ErrorKind::Isolation, Stage::Retrieve),
        Outcome::Failed(ErrorKind::RateLimited, Stage::RateLimit),
    ][pick(6) as usize]
        .clone();
    let magnitude = 10_u64.pow(pick(8) as u32);
    row.latency = Duration::from_micros(pick(10) * magnitude + pick(magnitude));
    row.ttft = (pick(3) > 0).then_some(row.latency / 3);
    row.usage = (pick(4) > 0).then_some(rag_tower::answer::Usage {
        input_tokens: pick(5_000),
        output_tokens: pick(900),
        estimated: pick(2) == 0,
    });
    row.cost_estimate = (pick(3) > 0).then_some(pick(1_000_000) as f64 / 3e9);
    row
}

fn rows_between(seed: u64, n: usize, from: OffsetDateTime, to: OffsetDateTime) -> Vec<TraceRow> {
    let mut random = Random::new(seed);
    let span = (to - from).whole_milliseconds() as usize;
    (0..n)
        .map(|_| {
            let at = from + time::Duration::milliseconds(random.below(span) as i64);
            any_row(&mut random, at)
        })
        .collect()
}

type Range = (Option<&'static str>, Option<OffsetDateTime>, Option<OffsetDateTime>);

/// What the rows say, added up by Postgres: every count, and p50, p95 and p99 of both durations.
async fn from_rows(database: &TestDatabase, (tenant, since, until): Range) -> (Vec<i64>, Vec<Option<i64>>) {
    let row = sqlx::query(
        "WITH r AS (SELECT * FROM rag_tower.request_traces WHERE ($1::uuid IS NULL OR tenant_id = $1)
                    AND ($2::timestamptz IS NULL OR ts >= $2) AND ($3::timestamptz IS NULL OR ts < $3)),
              f AS (SELECT f.rating FROM rag_tower.user_feedback f JOIN r USING (tenant_id, trace_id)),
              h AS (SELECT 1 FROM rag_tower.handoff_tickets WHERE ($1::uuid IS NULL OR tenant_id = $1)
                    AND ($2::timestamptz IS NULL OR ts >= $2) AND ($3::timestamptz IS NULL OR ts < $3))
         SELECT ARRAY[count(*), count(*) FILTER (WHERE status IN ('ERROR', 'FAIL_CLOSED')),
                count(*) FILTER (WHERE status = 'ABSTAINED'), count(*) FILTER (WHERE status = 'CANCELLED'),
                count(*) FILTER (WHERE status IN ('RATE_LIMITED', 'OVER_BUDGET')), count(*) FILTER (WHERE estimated),
                count(cost_estimate), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
                coalesce(sum(cost_estimate) * 1000000000, 0), coalesce(sum(latency_us), 0), coalesce(sum(ttft_us), 0),
                (SELECT count(*) FROM f WHERE rating = 1), (SELECT count(*) FROM f WHERE rating = -1),
                (SELECT count(*) FROM h)]::bigint[],
                ARRAY[percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_us),
                percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_us),
                percentile_disc(0.99) WITHIN GROUP (ORDER BY latency_us),
                percentile_disc(0.5) WITHIN GROUP (ORDER BY ttft_us),
                percentile_disc(0.95) WITHIN GROUP (ORDER BY ttft_us),
                percentile_disc(0.99) WITHIN GROUP (ORDER BY ttft_us)]
         FROM r",
    )
    .bind(tenant.map(id_of))
    .bind(since)
    .bind(until)
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    (row.get(0), row.get(1))
}

async fn totals(rollups: &PgRollups, (tenant, since, until): Range) -> Measures {
    rollups.totals(tenant.map(TenantId::named), since, until).await.unwrap()
}

/// The rollups say of this range what the rows say.
async fn agrees(database: &TestDatabase, rollups: &PgRollups, range: Range) -> Measures {
    let found = totals(rollups, range).await;
    let (counts, percentiles) = from_rows(database, range).await;
    assert_eq!(Count::ALL.map(|what| found[what]).to_vec(), counts, "{range:?}");
    let sketched = [&found.latency, &found.ttft]
        .into_iter()
        .flat_map(|sketch| [0.5, 0.95, 0.99].map(|p| sketch.quantile(p)));
    for (found, exact) in sketched.zip(percentiles) {
        let exact = exact.map(|exact| exact as f64);
        let near = found.zip(exact).is_none_or(|(found, exact)| (found - exact).abs() <= exact / 100.0);
        assert!(near && found.is_some() == exact.is_some(), "{range:?}: {found:?} for {exact:?}");
    }
    found
}

/// Every bucket is what its rows are.
async fn is_sound(rollups: &PgRollups, from: OffsetDateTime, to: OffsetDateTime) -> i64 {
    let (differences, asks) = rollups.check(from, to).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    asks
}

#[tokio::test]
async fn any_range_is_what_its_rows_are_before_and_after_folding() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    let (from, to) = (datetime!(2026-03-27 20:00 UTC), datetime!(2026-03-31 03:00 UTC));
    let rows = rows_between(1, 600, from, to);
    let mut random = Random::new(2);
    for (n, batch) in rows.chunks(60).enumerate() {
        assert_eq!(store.insert(batch).await.unwrap().len(), batch.len());
        if n == 4 {
            let folded = rollups.fold_all().await.unwrap();
            assert_eq!((folded.deltas, folded.busy), (5, false));
        }
    }
    let mut ranges: Vec<Range> =
        vec![(None, None, None), (Some("a"), None, None), (Some("nobody"), None, None)];
    for _ in 0..12 {
        let mut moment = || from + time::Duration::milliseconds(random.below(283_000_000) as i64);
        let (one, other) = (moment(), moment());
        let tenant = [None, Some("a"), Some("b")][random.below(3)];
        ranges.push((tenant, Some(one.min(other)), Some(one.max(other))));
        ranges.push((tenant, Some(one), Some(one + time::Duration::minutes(7))));
        ranges.push((tenant, Some(one), None));
    }
    for folded in [false, true] {
        if folded {
            rollups.fold_all().await.unwrap();
        }
        for range in &ranges {
            agrees(&database, &rollups, *range).await;
        }
        assert_eq!(is_sound(&rollups, from, to).await, 600);
    }
    // nothing waits, and the parts are the whole
    assert_eq!(rollups.fold().await.unwrap(), rag_tower::postgres::Folded::default());
    let mut sum = Measures::default();
    for tenant in TENANTS {
        sum.merge(&totals(&rollups, (Some(tenant), None, None)).await);
    }
    assert_eq!(sum, totals(&rollups, (None, None, None)).await);
}

#[tokio::test]
async fn stretches_and_kinds_add_up_to_the_whole_histograms_included() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    let (from, to) = (datetime!(2026-03-27 20:00 UTC), datetime!(2026-03-31 03:00 UTC));
    for (n, batch) in rows_between(11, 600, from, to).chunks(60).enumerate() {
        store.insert(batch).await.unwrap();
        if n == 4 {
            rollups.fold_all().await.unwrap();
        }
    }
    let mut random = Random::new(12);
    for n in 0..12 {
        let mut moment = || from + time::Duration::milliseconds(random.below(283_000_000) as i64);
        let (one, other) = (moment(), moment());
        let (since, until) = (one.min(other), one.max(other));
        let tenant = [None, Some("a")][n % 2].map(TenantId::named);
        let whole = rollups.totals(tenant, Some(since), Some(until)).await.unwrap();
        let quarter = |_| {
            let seconds = moment().unix_timestamp() / 900 * 900;
            OffsetDateTime::from_unix_timestamp(seconds).unwrap().clamp(since, until)
        };
        let mut edges: Vec<_> = (0..n * 7).map(quarter).chain([since, until]).collect();
        edges.sort_unstable();
        let which = Selection { tenant, since: Some(since), until: Some(until), ..Selection::default() };
        let mut tx = OwnerTx::snapshot(&pool).await.unwrap();
        let series = PgRollups::series(&mut tx, &which, &edges, true).await.unwrap();
        assert_eq!(series.len(), edges.len() - 1);
        let mut sum = Measures::default();
        series.iter().for_each(|tally| sum.merge(&tally.sum));
        assert!(sum == whole, "{edges:?}");
        let (tally, _) = PgRollups::tally(&mut tx, &which).await.unwrap();
        assert_eq!(tally.sum, whole);
        let mut statuses = std::collections::BTreeMap::new();
        for (status, asks) in series.into_iter().flat_map(|tally| tally.statuses) {
            *statuses.entry(status).or_insert(0) += asks;
        }
        assert_eq!(statuses, tally.statuses);
        let mut ended = std::collections::BTreeMap::new();
        for (whose, ends) in PgRollups::ends(&mut tx, Some(since), Some(until)).await.unwrap() {
            for (status, asks) in ends.into_iter().filter(|_| tenant.is_none_or(|id| id.as_uuid() == whose)) {
                *ended.entry(status).or_insert(0) += asks;
            }
        }
        assert_eq!(ended, statuses, "tenant by tenant");
        for facet in [Facet::Tenant, Facet::Route, Facet::Status, Facet::Channel, Facet::Model] {
            let mut sum = Measures::default();
            for (value, part) in PgRollups::by(&mut tx, &which, facet).await.unwrap() {
                if facet == Facet::Status && part[Count::Requests] > 0 {
                    assert_eq!(statuses.get(&value), Some(&part[Count::Requests]), "{value}");
                }
                sum.merge(&part);
            }
            assert_eq!(Count::ALL.map(|what| sum[what]), Count::ALL.map(|what| whole[what]), "{facet:?}");
            assert_eq!(sum.latency, whole.latency);
        }
    }
}

#[tokio::test]
async fn t111_days_of_any_zone_add_up() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    // days on which clocks change, in Athens and in Los Angeles
    let (spring, autumn) =
        ((date!(2026 - 03 - 07), date!(2026 - 03 - 10)), (date!(2026 - 10 - 24), date!(2026 - 11 - 03)));
    for (seed, (first, last)) in [spring, autumn].into_iter().enumerate() {
        let from = first.previous_day().unwrap().midnight().assume_utc();
        let to = last.next_day().unwrap().midnight().assume_utc();
        for batch in rows_between(seed as u64, 300, from, to).chunks(100) {
            store.insert(batch).await.unwrap();
        }
    }
    rollups.fold_all().await.unwrap();
    for name in
        ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Ho_Chi_Minh", "Europe/Athens", "America/Los_Angeles"]
    {
        let zone: Zone = name.parse().unwrap();
        let start = |day: Date| zone.start_of(day);
        for (first, last) in [spring, autumn] {
            let mut sum = Measures::default();
            let mut day = first;
            while day < last {
                let next = day.next_day().unwrap();
                sum.merge(&agrees(&database, &rollups, (None, start(day), start(next))).await);
                day = next;
            }
            let whole = totals(&rollups, (None, start(first), start(last))).await;
            assert_eq!(sum, whole, "{name}");
            assert!(whole[Count::Requests] > 100);
        }
    }
}

#[tokio::test]
async fn writers_that_repeat_themselves_folders_and_kills_change_nothing() {
    let database = TestDatabase::migrated().await;
    // two servers
    let pools = [database.database().await, database.database().await];
    let now = OffsetDateTime::now_utc();
    let from = now - time::Duration::hours(2);
    let rows = rows_between(7, 400, from, now);
    let writers = (0..4_u64).map(|seed| {
        let (store, rows) = (PgTraceStore::new(&pools[seed as usize % 2]), &rows);
        async move {
            let mut random = Random::new(seed);
            for _ in 0..25 {
                let first = random.below(rows.len() - 40);
                let write = store.insert(&rows[first..first + 1 + random.below(40)]);
                // one in three is given up at some point, as by a kill
                let patience = if random.below(3) == 0 { random.below(6) as u64 } else { 10_000 };
                let _ = tokio::time::timeout(Duration::from_millis(patience), write).await;
            }
        }
    });
    let folders = (0..3_u64).map(|seed| {
        let rollups = PgRollups::new(&pools[seed as usize % 2]);
        async move {
            let mut random = Random::new(seed);
            for _ in 0..40 {
                let patience = if random.below(3) == 0 { random.below(8) as u64 } else { 10_000 };
                let _ = tokio::time::timeout(Duration::from_millis(patience), rollups.fold()).await;
            }
        }
    });
    let rollups = PgRollups::new(&pools[0]);
    let reader = async {
        let mut before = 0;
        for _ in 0..60 {
            let now = totals(&rollups, (None, Some(from), None)).await[Count::Requests];
            assert!(now >= before, "{now} asks after {before}");
            before = now;
        }
    };
    tokio::join!(join_all(writers), join_all(folders), reader);
    for pool in &pools {
        agrees(&database, &PgRollups::new(pool), (None, None, None)).await;
    }
    // all again, all folded
    assert!(PgTraceStore::new(&pools[1]).insert(&rows).await.unwrap().len() < rows.len());
    while rollups.fold().await.unwrap().more {}
    for tenant in [None, Some("a"), Some("b")] {
        agrees(&database, &rollups, (tenant, None, None)).await;
    }
    assert_eq!(is_sound(&rollups, from, now).await, 400);
    assert_eq!(totals(&rollups, (None, None, None)).await[Count::Requests], 400);
}

#[tokio::test]
async fn an_ask_counts_once_in_a_batch_that_holds_it_twice() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let row = super::support::trace_row("a");
    let mut other = row.clone();
    other.latency = Duration::from_secs(60);
    assert_eq!(PgTraceStore::new(&pool).insert(&[row.clone(), other]).await.unwrap(), [row.trace_id]);
    let sum = agrees(&database, &PgRollups::new(&pool), (None, None, None)).await;
    assert_eq!((sum[Count::Requests], sum[Count::LatencyUs]), (1, 12_345));
}

#[tokio::test]
async fn feedback_counts_where_its_ask_is_whenever_it_comes() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups, feedback) =
        (PgTraceStore::new(&pool), PgRollups::new(&pool), PgFeedback::new(&pool));
    let at = datetime!(2026-05-05 10:07 UTC);
    let row = trace_row_of(id_at(at), "a");
    let put =
        async |tenant: &str, rating| feedback.put(&scope(tenant), row.trace_id, rating, None).await.unwrap();
    let day = (None, Some(datetime!(2026-05-05 00:00 UTC)), Some(datetime!(2026-05-06 00:00 UTC)));
    let thumbs = async || {
        let sum = agrees(&database, &rollups, day).await;
        // the same where the rows themselves are read
        agrees(&database, &rollups, (None, Some(at), Some(at + time::Duration::minutes(1)))).await;
        (sum[Count::FeedbackUp], sum[Count::FeedbackDown])
    };
    // before its ask, and of a tenant whose ask it is not
    put("a", Rating::Up).await;
    put("b", Rating::Down).await;
    rollups.fold_all().await.unwrap();
    assert_eq!(thumbs().await, (0, 0));
    store.insert(std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(thumbs().await, (1, 0));
    rollups.fold_all().await.unwrap();
    assert_eq!(thumbs().await, (1, 0));
    // another opinion
    put("a", Rating::Down).await;
    assert_eq!(thumbs().await, (0, 1));
    assert_eq!(rollups.fold_all().await.unwrap().late, 1);
    assert_eq!(thumbs().await, (0, 1));
    // the same again is nothing new
    put("a", Rating::Down).await;
    assert_eq!(rollups.fold_all().await.unwrap().late, 0);
    // changed twice between folds
    put("a", Rating::Up).await;
    put("a", Rating::Down).await;
    rollups.fold_all().await.unwrap();
    assert_eq!(thumbs().await, (0, 1));
    is_sound(&rollups, at, at).await;
}

#[tokio::test]
async fn feedback_whose_ask_never_came_is_left_until_it_does() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let rollups = PgRollups::new(&pool);
    let row = trace_row_of(id_at(datetime!(2026-05-05 10:07 UTC)), "a");
    PgFeedback::new(&pool).put(&scope("a"), row.trace_id, Rating::Up, None).await.unwrap();
    database.run_as_admin("UPDATE rag_tower.user_feedback SET ts = now() - interval '25 hours'").await;
    rollups.fold_all().await.unwrap();
    let given_up: i64 = sqlx::query_scalar("SELECT count(*) FROM rag_tower.user_feedback WHERE rolled = 0")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap();
    assert_eq!(given_up, 1);
    PgTraceStore::new(&pool).insert(&[row]).await.unwrap();
    rollups.fold_all().await.unwrap();
    assert_eq!(agrees(&database, &rollups, (Some("a"), None, None)).await[Count::FeedbackUp], 1);
}

#[tokio::test]
async fn tickets_count_with_and_without_an_ask() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (rollups, handoffs) = (PgRollups::new(&pool), PgHandoffs::new(&pool));
    let row = super::support::trace_row("a");
    let mut with = NewHandoff::new("asked_for_a_person");
    with.trace = Some(row.trace_id);
    handoffs.open(&scope("a"), &with).await.unwrap();
    handoffs.open(&scope("a"), &NewHandoff::new("r")).await.unwrap();
    let tickets = async || agrees(&database, &rollups, (Some("a"), None, None)).await[Count::Handoffs];
    assert_eq!(tickets().await, 2);
    // the one whose ask is still on its way waits
    assert_eq!(rollups.fold_all().await.unwrap().late, 1);
    assert_eq!(tickets().await, 2);
    PgTraceStore::new(&pool).insert(&[row]).await.unwrap();
    assert_eq!(rollups.fold_all().await.unwrap().late, 1);
    assert_eq!(tickets().await, 2);
    let by_route: i64 = sqlx::query_scalar(
        "SELECT handoffs FROM rag_tower.trace_rollups WHERE level = 1440 AND route = 'course_search'",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(by_route, 1);
}

/// What the server asks itself is there, and in no figure: not by its batch, a rebuild, a check, a read of rows, a price or
/// an opinion.
#[tokio::test]
async fn rows_of_canaries_count_nowhere() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups, feedback) =
        (PgTraceStore::new(&pool), PgRollups::new(&pool), PgFeedback::new(&pool));
    let at = datetime!(2026-05-05 10:07 UTC);
    let (mut canary, row) = (trace_row_of(id_at(at), "a"), trace_row_of(id_at(at), "a"));
    canary.channel = Channel::Canary;
    assert_eq!(store.insert(&[canary.clone(), row.clone()]).await.unwrap().len(), 2, "both are rows");
    // alone in its batch
    let mut alone = trace_row_of(id_at(at), "b");
    alone.channel = Channel::Canary;
    store.insert(std::slice::from_ref(&alone)).await.unwrap();
    for ask in [canary.trace_id, row.trace_id] {
        feedback.put(&scope("a"), ask, Rating::Up, None).await.unwrap();
    }
    assert_eq!(rollups.reprice(&[(canary.trace_id, Some(1.0))]).await.unwrap(), 0);

    let (day, next) = (datetime!(2026-05-05 00:00 UTC), datetime!(2026-05-06 00:00 UTC));
    let whole = (None, Some(day), Some(next));
    let edge = (None, Some(at), Some(at + time::Duration::minutes(1)));
    let counts = async || {
        for range in [whole, edge] {
            let sum = totals(&rollups, range).await;
            let counted = [Count::Requests, Count::Priced, Count::FeedbackUp, Count::CostNanos];
            assert_eq!(counted.map(|what| sum[what]), [1, 1, 1, 12_500_000], "{range:?}");
        }
        for (since, until) in [(day, next), (at, at + time::Duration::minutes(1))] {
            let which = Selection { since: Some(since), until: Some(until), ..Selection::default() };
            let mut tx = OwnerTx::snapshot(&pool).await.unwrap();
            let slices = PgRollups::slices(&mut tx, &which, false).await.unwrap();
            assert_eq!(slices.iter().map(|slice| slice.requests).sum::<i64>(), 1, "{since}");
            let tenants = PgRollups::tenants(&mut tx, &which).await.unwrap();
            assert_eq!(tenants, [(id_of("a"), 1)], "{since}");
            let channels = PgRollups::by(&mut tx, &which, Facet::Channel).await.unwrap();
            assert_eq!(channels.keys().collect::<Vec<_>>(), ["web"], "{since}");
        }
        assert_eq!(is_sound(&rollups, at, at).await, 1);
    };
    counts().await;
    rollups.fold_all().await.unwrap();
    counts().await;
    assert_eq!(rollups.rebuild(date!(2026 - 05 - 05), date!(2026 - 05 - 05)).await.unwrap(), 1);
    counts().await;
    // an opinion on what counts nowhere is given up like one on an ask that never came
    database.run_as_admin("UPDATE rag_tower.user_feedback SET ts = now() - interval '25 hours'").await;
    PgRollups::new(&pool).fold_all().await.unwrap();
    let rolled: Vec<Option<i16>> =
        sqlx::query_scalar("SELECT rolled FROM rag_tower.user_feedback ORDER BY rolled")
            .fetch_all(&mut database.admin().await)
            .await
            .unwrap();
    assert_eq!(rolled, [Some(0), Some(1)]);
    counts().await;
}

#[tokio::test]
async fn a_price_that_is_known_later_counts() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let rollups = PgRollups::new(&pool);
    let (mut unknown, known) = (super::support::trace_row("a"), super::support::trace_row("a"));
    unknown.cost_estimate = None;
    PgTraceStore::new(&pool).insert(&[unknown.clone(), known.clone()]).await.unwrap();
    rollups.fold_all().await.unwrap();
    let prices = [(unknown.trace_id, Some(1.0)), (unknown.trace_id, Some(0.25)), (known.trace_id, None)];
    for _ in 0..2 {
        assert_eq!(rollups.reprice(&prices).await.unwrap(), 2);
        for _ in 0..2 {
            let sum = agrees(&database, &rollups, (None, None, None)).await;
            assert_eq!((sum[Count::Priced], sum[Count::CostNanos]), (1, 250_000_000));
            rollups.fold_all().await.unwrap();
        }
    }
    assert_eq!(rollups.reprice(&[(AskId::generate(), Some(1.0))]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_bucket_that_was_changed_is_found() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    let now = OffsetDateTime::now_utc();
    store.insert(&rows_between(3, 50, now - time::Duration::HOUR, now)).await.unwrap();
    rollups.fold_all().await.unwrap();
    assert_eq!(is_sound(&rollups, now - time::Duration::DAY, now).await, 50);
    database
        .run_as_admin(
            "UPDATE rag_tower.system_totals SET errors = errors + 1, latency = '' WHERE level = 1440",
        )
        .await;
    let (found, _) = rollups.check(now - time::Duration::DAY, now).await.unwrap();
    assert!(!found.is_empty());
    assert!(
        found[0].contains("SystemTotals Day")
            && found[0].contains("Errors")
            && found[0].contains("durations")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_are_made_again_from_their_rows_while_servers_write_and_fold() {
    let database = TestDatabase::migrated().await;
    let pools = [database.database().await, database.database().await];
    let (store, rollups) = (PgTraceStore::new(&pools[0]), PgRollups::new(&pools[0]));
    let now = OffsetDateTime::now_utc();
    let from = now - time::Duration::days(2);
    for rows in rows_between(11, 300, from, now).chunks(50) {
        store.insert(rows).await.unwrap();
    }
    let row = trace_row_of(id_at(now), "a");
    store.insert(std::slice::from_ref(&row)).await.unwrap();
    let mut ticket = NewHandoff::new("asked_for_a_person");
    ticket.trace = Some(row.trace_id);
    PgHandoffs::new(&pools[0]).open(&scope("a"), &ticket).await.unwrap();
    PgFeedback::new(&pools[0]).put(&scope("a"), row.trace_id, Rating::Up, None).await.unwrap();
    rollups.fold_all().await.unwrap();
    // a bucket that is too high, some that are missing, one that should not be, and rows of a server without rollups
    database
        .run_as_admin(
            "UPDATE rag_tower.trace_totals SET requests = requests + 7, latency = '' WHERE level = 60;
             DELETE FROM rag_tower.system_rollups WHERE level = 15;
             UPDATE rag_tower.trace_rollups SET route = route || '!' WHERE level = 15;
             INSERT INTO rag_tower.request_traces (trace_id, ts, tenant_id, channel, status, latency_us)
             SELECT gen_random_uuid(), now() - interval '1 minute', gen_random_uuid(), 'api', 'SUCCESS', 5
             FROM generate_series(1, 9)",
        )
        .await;
    assert!(!rollups.check(from, now).await.unwrap().0.is_empty());
    let writer = async {
        for (n, rows) in rows_between(12, 400, from, now).chunks(10).enumerate() {
            PgTraceStore::new(&pools[n % 2]).insert(rows).await.unwrap();
        }
    };
    let folder = async {
        for _ in 0..60 {
            PgRollups::new(&pools[1]).fold().await.unwrap();
        }
    };
    let rebuild = async {
        for _ in 0..3 {
            let asks = rollups.rebuild(from.date(), now.date()).await.unwrap();
            assert!((310..=710).contains(&asks), "{asks}");
        }
    };
    tokio::join!(writer, folder, rebuild);
    assert_eq!(is_sound(&rollups, from, now).await, 710);
    agrees(&database, &rollups, (None, None, None)).await;
    rollups.fold_all().await.unwrap();
    assert_eq!(is_sound(&rollups, from, now).await, 710);
    let whole = agrees(&database, &rollups, (None, None, None)).await;
    assert_eq!((whole[Count::Requests], whole[Count::FeedbackUp], whole[Count::Handoffs]), (710, 1, 1));
    // the facets of the ticket's ask are there again
    let by_route: i64 = sqlx::query_scalar(
        "SELECT handoffs FROM rag_tower.trace_rollups WHERE level = 1440 AND route = 'course_search' AND handoffs > 0",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(by_route, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_day_is_added_up_is_in_it_once() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    let now = OffsetDateTime::now_utc();
    let rows: Vec<_> = (0..4).map(|_| trace_row_of(id_at(now), "a")).collect();
    store.insert(&rows[..2]).await.unwrap();
    rollups.fold_all().await.unwrap();
    store.insert(&rows[2..3]).await.unwrap();
    // asks are read before tickets are
    let mut blocker = database.admin().await;
    run(&mut blocker, "BEGIN; LOCK TABLE rag_tower.handoff_tickets").await;
    let mut admin = database.admin().await;
    let write = async {
        let end = tokio::time::Instant::now() + DEADLINE;
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
                         AND relation = 'rag_tower.handoff_tickets'::regclass)";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut admin).await.unwrap() {
            assert!(tokio::time::Instant::now() < end, "the rebuild does not come to tickets");
        }
        store.insert(&rows[3..]).await.unwrap();
        run(&mut blocker, "COMMIT").await;
    };
    let (asks, ()) = tokio::join!(rollups.rebuild(now.date(), now.date()), write);
    assert_eq!(asks.unwrap(), 3);
    let waiting = rollups.lag().await.unwrap().deltas;
    assert_eq!(waiting, 1, "of the one that came meanwhile");
    assert_eq!(is_sound(&rollups, now, now).await, 4);
    rollups.fold_all().await.unwrap();
    assert_eq!(is_sound(&rollups, now, now).await, 4);
    agrees(&database, &rollups, (None, None, None)).await;
}

#[tokio::test]
async fn days_that_somebody_dropped_by_hand_keep_their_rollups() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    let at = datetime!(2026-05-05 10:07 UTC);
    store.insert(&[trace_row_of(id_at(at), "a")]).await.unwrap();
    rollups.fold_all().await.unwrap();
    database.run_as_admin("DROP TABLE rag_tower.request_traces_20260505").await;
    // days that never had anything are as empty as they were
    let refused = rollups.rebuild(date!(2026 - 05 - 03), date!(2026 - 05 - 05)).await.unwrap_err();
    assert!(refused.to_string().contains("2026-05-05"), "{refused}");
    assert_eq!(totals(&rollups, (None, None, None)).await[Count::Requests], 1);
}

#[tokio::test]
async fn how_far_the_rollups_are_behind_is_known() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups) = (PgTraceStore::new(&pool), PgRollups::new(&pool));
    assert_eq!(rollups.lag().await.unwrap(), rag_tower::postgres::Lag::default());
    for _ in 0..3 {
        store.insert(&[super::support::trace_row("a")]).await.unwrap();
    }
    database
        .run_as_admin("UPDATE rag_tower.rollup_deltas SET made_at = made_at - interval '1 hour' WHERE id = 2")
        .await;
    database
        .run_as_admin(
            "UPDATE rag_tower.rollup_deltas SET made_at = made_at - interval '2 hours' WHERE id = 1",
        )
        .await;
    let lag = rollups.lag().await.unwrap();
    assert_eq!((lag.deltas, lag.oldest.as_secs() / 600), (3, 12));
    rollups.fold_all().await.unwrap();
    assert_eq!(rollups.lag().await.unwrap().deltas, 0);
}

#[tokio::test]
async fn feedback_without_an_ask_is_looked_at_while_it_is_young_when_late_asks_come_and_each_hour() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups, feedback) =
        (PgTraceStore::new(&pool), PgRollups::new(&pool), PgFeedback::new(&pool));
    rollups.fold_all().await.unwrap();
    // an ask whose delta is gone: nothing says that it has come
    let hidden = super::support::trace_row("a");
    store.insert(std::slice::from_ref(&hidden)).await.unwrap();
    database.run_as_admin("DELETE FROM rag_tower.rollup_deltas").await;
    feedback.put(&scope("a"), hidden.trace_id, Rating::Up, None).await.unwrap();
    let set_age = async |minutes: u32| {
        let sql = format!("UPDATE rag_tower.user_feedback SET ts = now() - interval '{minutes} minutes'");
        database.run_as_admin(&sql).await;
    };
    set_age(30).await;
    assert_eq!(rollups.fold_all().await.unwrap().late, 0, "it is old, and was looked for within the hour");
    // a read has it all the same
    let from = OffsetDateTime::now_utc() - time::Duration::HOUR;
    let seen = rollups.totals(None, Some(from), None).await.unwrap();
    assert_eq!(seen[Count::FeedbackUp], 1);
    set_age(15).await;
    assert_eq!(rollups.fold_all().await.unwrap().late, 1, "it is young");

    feedback.put(&scope("a"), hidden.trace_id, Rating::Down, None).await.unwrap();
    set_age(30).await;
    store.insert(&[super::support::trace_row("a")]).await.unwrap();
    assert_eq!(rollups.fold_all().await.unwrap().late, 0, "an ask of now is no reason");
    let long_ago = OffsetDateTime::now_utc() - time::Duration::minutes(40);
    store.insert(&[trace_row_of(id_at(long_ago), "a")]).await.unwrap();
    assert_eq!(rollups.fold_all().await.unwrap().late, 1, "an ask of then is");

    feedback.put(&scope("a"), hidden.trace_id, Rating::Up, None).await.unwrap();
    set_age(30).await;
    assert_eq!(PgRollups::new(&pool).fold_all().await.unwrap().late, 1, "a process looks when it starts");
    feedback.put(&scope("a"), hidden.trace_id, Rating::Down, None).await.unwrap();
    set_age(30).await;
    assert_eq!(rollups.fold_all().await.unwrap().late, 0);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3_601)).await;
    tokio::time::resume();
    assert_eq!(rollups.fold_all().await.unwrap().late, 1, "an hour has passed");
}

#[tokio::test]
async fn a_flood_of_feedback_on_asks_that_there_are_not_hides_none_on_one_that_there_is() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (rollups, feedback) = (PgRollups::new(&pool), PgFeedback::new(&pool));
    let row = super::support::trace_row("a");
    PgTraceStore::new(&pool).insert(std::slice::from_ref(&row)).await.unwrap();
    // of no time that there is
    let never = AskId::new(Uuid::from_u128(0xf << 124));
    feedback.put(&scope("a"), never, Rating::Up, None).await.unwrap();
    feedback.put(&scope("a"), row.trace_id, Rating::Up, None).await.unwrap();
    assert_eq!(rollups.fold_all().await.unwrap().late, 1);
    let flood = "INSERT INTO rag_tower.user_feedback (id, ts, tenant_id, trace_id, subject, rating)
                 SELECT gen_random_uuid(), now() - n * interval '1 millisecond', gen_random_uuid(),
                     ('01a00000' || substr(gen_random_uuid()::text, 9))::uuid, '', 1
                 FROM generate_series(1, 10100) n";
    database.run_as_admin(flood).await;
    feedback.put(&scope("a"), row.trace_id, Rating::Down, None).await.unwrap();
    assert_eq!(rollups.fold_all().await.unwrap().late, 1);
    let sum = agrees(&database, &rollups, (Some("a"), None, None)).await;
    assert_eq!((sum[Count::FeedbackUp], sum[Count::FeedbackDown]), (0, 1));
}

#[tokio::test]
async fn reads_are_planned_for_their_own_range() {
    let database = TestDatabase::migrated().await;
    database.run_as_admin("SELECT rag_tower.ensure_partitions('2026-01-01', 60)").await;
    let pool = Database::connect(&database.options().max_connections(1)).await.unwrap();
    let rollups = PgRollups::new(&pool);
    for n in 0..12 {
        let from = datetime!(2026-01-05 10:07 UTC) + time::Duration::days(n);
        totals(&rollups, (None, Some(from), Some(from + time::Duration::HOUR))).await;
    }
    // of the same connection
    let mut tx = rag_tower::postgres::OwnerTx::snapshot(&pool).await.unwrap();
    let (generic, custom): (i64, i64) = sqlx::query_as(
        "SELECT sum(generic_plans)::bigint, sum(custom_plans)::bigint FROM pg_prepared_statements
         WHERE statement LIKE '%rag_tower.%' AND cardinality(parameter_types) > 0",
    )
    .fetch_one(tx.connection())
    .await
    .unwrap();
    assert!(generic == 0 && custom >= 48, "{generic} generic, {custom} custom");
}

#[tokio::test]
async fn without_saying_that_they_fold_the_jobs_see_no_rollup() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    PgTraceStore::new(&pool).insert(&[super::support::trace_row("a")]).await.unwrap();
    let rollups = PgRollups::new(&pool);
    rollups.fold_all().await.unwrap();
    PgTraceStore::new(&pool).insert(&[super::support::trace_row("a")]).await.unwrap();
    PgFeedback::new(&pool).put(&scope("a"), AskId::generate(), Rating::Up, None).await.unwrap();
    let mut app = database.app().await;
    for (writes, seen) in [("", 0_i64), ("on", 0), ("fold", 1)] {
        for (table, column) in [
            ("rollup_deltas", "id"),
            ("trace_totals", "bucket"),
            ("trace_rollups", "bucket"),
            ("system_totals", "bucket"),
            ("system_rollups", "bucket"),
            ("user_feedback", "rolled"),
            ("request_traces", "ts"),
            ("trace_horizon", "kept_since"),
        ] {
            run(&mut app, &format!("BEGIN; SET LOCAL ROLE rag_jobs; SET LOCAL rag.writer = '{writes}'"))
                .await;
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT least(count(*), 1) FROM (SELECT {column} FROM rag_tower.{table}) t"
            ));
            let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut app).await.unwrap();
            assert_eq!(found, seen, "{table} as {writes:?}");
            run(&mut app, "ROLLBACK").await;
        }
    }
    // and no text at all
    for column in ["question", "answer", "subject", "search_text"] {
        run(&mut app, "BEGIN; SET LOCAL ROLE rag_jobs; SET LOCAL rag.writer = 'fold'").await;
        let sql = sqlx::AssertSqlSafe(format!("SELECT {column} FROM rag_tower.request_traces"));
        assert!(
            sqlx::query(sql).fetch_all(&mut app).await.unwrap_err().to_string().contains("permission denied")
        );
        run(&mut app, "ROLLBACK").await;
    }
}

#[tokio::test]
async fn an_application_s_own_login_folds_and_a_tenant_reads_its_totals() {
    let database = TestDatabase::empty().await;
    let login = format!("rollups_{}", std::process::id());
    database.run_as_admin(&format!("CREATE ROLE {login} LOGIN PASSWORD 'x'")).await;
    let mut admin = database.admin().await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut admin).await.unwrap();
    run(&mut admin, &format!("GRANT CREATE ON DATABASE {name} TO {login}")).await;
    let url = database.url_of(&login, "x");
    migrate_traces(&url).await.unwrap();
    let pool = Database::connect_own(&DatabaseOptions::new(&url).max_connections(2)).await.unwrap();
    let rollups = PgRollups::new(&pool);
    let rows = [super::support::trace_row("a"), super::support::trace_row("b")];
    PgTraceStore::new(&pool).insert(&rows).await.unwrap();
    PgFeedback::new(&pool).put(&scope("a"), rows[0].trace_id, Rating::Up, None).await.unwrap();
    let folded = rollups.fold_all().await.unwrap();
    assert_eq!((folded.deltas, folded.late), (1, 1));
    let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
    let seen: Vec<(i64, i64)> =
        sqlx::query_as("SELECT requests, feedback_up FROM rag_tower.trace_totals WHERE level = 1440")
            .fetch_all(tx.connection())
            .await
            .unwrap();
    assert_eq!(seen, [(1, 1)]);
    drop(tx);
    pool.close().await;
    run(&mut admin, &format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}")).await;
}

#[tokio::test]
async fn rows_from_before_the_rollups_are_in_them() {
    let database = TestDatabase::empty().await;
    let first = include_str!("../../../migrations/trace/20261120000001_traces.sql");
    let first =
        Migration::new(20261120000001, "traces".into(), MigrationType::Simple, first.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.dangerous_set_table_name("rag_tower._migrations");
    migrator.create_schema("rag_tower");
    let mut admin = PgConnection::connect(&database.admin_url()).await.unwrap();
    migrator.run_direct(None, &mut admin, false).await.unwrap();
    run(
        &mut admin,
        "SELECT rag_tower.ensure_partitions('2026-05-01', 4);
         INSERT INTO rag_tower.request_traces (trace_id, ts, tenant_id, channel, route, status, latency_us, ttft_us,
             input_tokens, cost_estimate)
         SELECT gen_random_uuid(), '2026-05-01 00:00Z'::timestamptz + n * interval '97 seconds',
             (ARRAY['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'])[1 + n % 2]::uuid,
             'web', nullif('r' || n % 3, 'r0'), (ARRAY['SUCCESS', 'ERROR'])[1 + n % 2], n::bigint * n * n % 7000003,
             nullif(n % 5, 0) * 1000, n, nullif(n % 4, 0) * 0.001
         FROM generate_series(0, 3000) n",
    )
    .await;
    migrate_traces(&database.admin_url()).await.unwrap();
    // the whole schema, so that there is a login that reads
    rag_tower::postgres::bootstrap(&database.admin_url(), rag_tower::postgres::APP_LOGIN, None)
        .await
        .unwrap();
    let rollups = PgRollups::new(&database.database().await);
    for _ in 0..2 {
        let whole = agrees(&database, &rollups, (None, None, None)).await;
        assert_eq!(whole[Count::Requests], 3_001);
        let asks = is_sound(&rollups, datetime!(2026-05-01 00:00 UTC), datetime!(2026-05-05 00:00 UTC)).await;
        assert_eq!(asks, 3_001);
        assert!(!rollups.fold_all().await.unwrap().busy);
    }
}

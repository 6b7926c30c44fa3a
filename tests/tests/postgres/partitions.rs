//! Days of the trace table: there before they are needed, gone whole when they are old, in nobody's way.

use std::num::NonZeroU32;
use std::time::Duration;

use rag_tower::ErrorKind;
use rag_tower::postgres::{
    Count, Database, DatabaseError, DatabaseOptions, PgFeedback, PgPartitions, PgRollups, PgTraceStore,
    Rating, Upkeep, migrate_traces,
};
use rag_tower::trace::TraceStore;
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::Connection;
use time::{Date, OffsetDateTime};

use super::support::{ask_on, scope, trace_row, trace_row_of};

fn day(ago: i64) -> Date {
    (OffsetDateTime::now_utc() - time::Duration::days(ago)).date()
}

fn keep(days: u32) -> Upkeep {
    Upkeep::new().keep_days(NonZeroU32::new(days))
}

async fn leaves(database: &TestDatabase) -> Vec<String> {
    sqlx::query_scalar("SELECT relname::text FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1")
        .fetch_all(&mut database.admin().await)
        .await
        .unwrap()
}

fn leaf_of(day: Date) -> String {
    format!("request_traces_{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

#[tokio::test]
async fn days_ahead_are_there_before_anybody_needs_them() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let partitions = PgPartitions::new(&pool);
    let today = day(0).midnight().assume_utc();
    let kept = partitions.upkeep(&Upkeep::new().ahead(4)).await.unwrap();
    // the migration made today and tomorrow, when the template of this database was made
    assert!(kept.made >= 3, "{kept:?}");
    assert_eq!(kept.partitions.until, Some(today + time::Duration::days(5)));
    assert_eq!(kept.partitions.count, leaves(&database).await.len());
    assert_eq!(partitions.upkeep(&Upkeep::new()).await.unwrap().made, 0, "all of it is there");
    // a gap is seen, and closed
    database.run_as_admin(&format!("DROP TABLE rag_tower.{}", leaf_of(day(-1)))).await;
    assert_eq!(
        partitions.partitions().await.unwrap().until,
        Some(today + time::Duration::DAY),
        "tomorrow's is missing"
    );
    assert_eq!(partitions.upkeep(&Upkeep::new()).await.unwrap().made, 1);
    // and they are born closed
    Database::connect(&database.options()).await.unwrap();
}

#[tokio::test]
async fn old_days_go_whole_and_leave_their_figures() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, rollups, partitions) =
        (PgTraceStore::new(&pool), PgRollups::new(&pool), PgPartitions::new(&pool));
    let rows: Vec<_> =
        (0..6).map(|ago| trace_row_of(ask_on(&day(ago).to_string()), "a")).chain([trace_row("b")]).collect();
    store.insert(&rows).await.unwrap();
    PgFeedback::new(&pool).put(&scope("a"), rows[5].trace_id, Rating::Up, None).await.unwrap();
    rollups.fold_all().await.unwrap();
    let figures = async || {
        let all = rollups.totals(None, None, None).await.unwrap();
        (all[Count::Requests], all[Count::FeedbackUp], all[Count::FeedbackDown])
    };
    assert_eq!(figures().await, (7, 1, 0));

    // nothing unless it is asked for
    assert_eq!(partitions.drop_old(NonZeroU32::MAX).await.unwrap().partitions, 0);
    let before = leaves(&database).await;
    let kept = partitions.upkeep(&keep(2)).await.unwrap();
    // a day stays until it ended two days ago: the two before today do
    assert!(!kept.dropped.left && kept.dropped.partitions >= 3, "{kept:?}");
    let left = leaves(&database).await;
    assert_eq!(before.len() + kept.made as usize, left.len() + kept.dropped.partitions as usize);
    for ago in 0..6 {
        assert_eq!(left.contains(&leaf_of(day(ago))), ago <= 2, "{ago} days ago: {left:?}");
    }
    assert_eq!(kept.partitions.since, Some(day(2).midnight().assume_utc()));
    // a day is left alone for an hour after its end
    let now = OffsetDateTime::now_utc();
    let over = 1 + u32::from((now - Duration::from_hours(1)).date() == now.date());
    assert_eq!(kept.closed, over, "the days before today");
    assert_eq!(partitions.upkeep(&keep(2)).await.unwrap().dropped.partitions, 0);

    // figures stay, and a late opinion on an ask that is gone changes nothing
    assert_eq!(figures().await, (7, 1, 0));
    PgFeedback::new(&pool).put(&scope("a"), rows[5].trace_id, Rating::Down, None).await.unwrap();
    rollups.fold_all().await.unwrap();
    assert_eq!(figures().await, (7, 1, 0));
    // what is compared is what can be
    let (since, until) = (day(6).midnight().assume_utc(), OffsetDateTime::now_utc());
    let (differences, asks) = rollups.check(since, until).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(asks, 4);
    // and what cannot be made again stays
    let refused = rollups.rebuild(day(3), day(0)).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::RowsDropped(at) if at == day(3)), "{refused:?}");
    assert!(refused.to_string().contains(&day(3).to_string()), "{refused}");
    assert_eq!(rollups.rebuild(day(2), day(0)).await.unwrap(), 4);
    assert_eq!(figures().await, (7, 1, 0));
}

#[tokio::test]
async fn a_row_of_a_dropped_day_is_refused_and_counts_no_second_time() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, partitions) = (PgTraceStore::new(&pool), PgPartitions::new(&pool));
    let old = trace_row_of(ask_on(&day(9).to_string()), "a");
    store.insert(std::slice::from_ref(&old)).await.unwrap();
    assert_eq!(partitions.upkeep(&keep(7)).await.unwrap().dropped.partitions, 2, "a day, and its next");
    // of a journal, by the process that wrote it and by another one
    for store in [store, PgTraceStore::new(&pool)] {
        let refused = store.write(&[old.clone(), trace_row("a")]).await.unwrap_err();
        let kind = refused.downcast_ref::<rag_tower::Error>().map(rag_tower::Error::kind);
        assert_eq!(kind, Some(ErrorKind::InvalidInput), "put aside, not tried for ever: {refused}");
        store.write(&[trace_row("a")]).await.unwrap();
    }
    // a day that was never dropped is taken, however long rows are kept
    store_late(&pool).await;
    assert_eq!(partitions.upkeep(&keep(7)).await.unwrap().dropped.partitions, 0);
    let all = PgRollups::new(&pool).totals(None, None, None).await.unwrap();
    assert_eq!(all[Count::Requests], 4, "the old one once");
}

/// A row of a day after the dropped ones, which has no partition yet.
async fn store_late(pool: &Database) {
    let late = trace_row_of(ask_on(&day(5).to_string()), "a");
    assert_eq!(PgTraceStore::new(pool).insert(&[late]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_waits_for_readers_and_holds_up_nobody_for_long() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, partitions) = (PgTraceStore::new(&pool), PgPartitions::new(&pool));
    store.insert(&[trace_row_of(ask_on(&day(9).to_string()), "a")]).await.unwrap();
    // somebody reads for a long time
    let mut reader = database.admin().await;
    run(&mut reader, "BEGIN; SELECT count(*) FROM rag_tower.request_traces").await;
    let writes = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let began = tokio::time::Instant::now();
            store.insert(&[trace_row("a")]).await.unwrap();
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let upkeep = keep(7);
    let (kept, slowest) = tokio::join!(partitions.upkeep(&upkeep), writes);
    let kept = kept.unwrap();
    assert!(kept.dropped.left && kept.dropped.partitions == 0, "{kept:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(leaves(&database).await.contains(&leaf_of(day(9))));
    run(&mut reader, "ROLLBACK").await;
    assert_eq!(partitions.upkeep(&upkeep).await.unwrap().dropped.partitions, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_keep_one_database_while_they_write() {
    let database = TestDatabase::migrated().await;
    let pools = [database.database().await, database.database().await];
    let old: Vec<_> = (4..12).map(|ago| trace_row_of(ask_on(&day(ago).to_string()), "a")).collect();
    PgTraceStore::new(&pools[0]).insert(&old).await.unwrap();
    let upkeeps = (0..4).map(|n| {
        let partitions = PgPartitions::new(&pools[n % 2]);
        async move {
            let end = tokio::time::Instant::now() + DEADLINE;
            // one of them is at it until nothing old is left
            while partitions.upkeep(&keep(3)).await.unwrap().dropped.left {
                assert!(tokio::time::Instant::now() < end);
                tokio::task::yield_now().await;
            }
        }
    });
    let writes = (0..2).map(|n| {
        let store = PgTraceStore::new(&pools[n]);
        async move {
            for _ in 0..30 {
                store.insert(&[trace_row("a")]).await.unwrap();
            }
        }
    });
    tokio::join!(futures_util::future::join_all(upkeeps), futures_util::future::join_all(writes));
    let left = leaves(&database).await;
    assert!((4..12).all(|ago| !left.contains(&leaf_of(day(ago)))), "{left:?}");
    let rollups = PgRollups::new(&pools[1]);
    rollups.fold_all().await.unwrap();
    let now = OffsetDateTime::now_utc();
    let (differences, asks) = rollups.check(now - time::Duration::DAY, now).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(asks, 60);
}

#[tokio::test]
async fn only_those_who_keep_partitions_drop_them() {
    let database = TestDatabase::migrated().await;
    let mut app = database.app().await;
    for role in ["rag_tenant", "rag_writer", "rag_resolver", "rag_owner", "none"] {
        run(&mut app, &format!("BEGIN; SET LOCAL ROLE {role}")).await;
        let refused = sqlx::query("SELECT rag_tower.drop_partition(1)").execute(&mut app).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{role}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
    // those who may still keep a day at least, and reach no partition itself
    run(&mut app, "BEGIN; SET LOCAL ROLE rag_jobs").await;
    let refused = sqlx::query("SELECT rag_tower.drop_partition(0)").execute(&mut app).await.unwrap_err();
    assert!(refused.to_string().contains("at least 1"), "{refused}");
    run(&mut app, "ROLLBACK; BEGIN; SET LOCAL ROLE rag_jobs; SET LOCAL rag.writer = 'keep'").await;
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM rag_tower.{}", leaf_of(day(0))));
    let refused = sqlx::query(sql).execute(&mut app).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied") || refused.contains("does not exist"), "{refused}");
}

#[tokio::test]
async fn an_application_s_own_login_keeps_its_partitions() {
    let database = TestDatabase::empty().await;
    let login = format!("partitions_{}", std::process::id());
    let mut admin = database.admin().await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut admin).await.unwrap();
    run(
        &mut admin,
        &format!("CREATE ROLE {login} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE {name} TO {login}"),
    )
    .await;
    let url = database.url_of(&login, "x");
    migrate_traces(&url).await.unwrap();
    let pool = Database::connect_own(&DatabaseOptions::new(&url).max_connections(2)).await.unwrap();
    let (store, partitions) = (PgTraceStore::new(&pool), PgPartitions::new(&pool));
    let old = trace_row_of(ask_on(&day(9).to_string()), "a");
    store.insert(std::slice::from_ref(&old)).await.unwrap();
    let kept = partitions.upkeep(&keep(7)).await.unwrap();
    assert_eq!((kept.made, kept.dropped.partitions), (1, 2), "{kept:?}");
    store.write(&[old]).await.unwrap_err();
    assert_eq!(PgRollups::new(&pool).rebuild(day(1), day(0)).await.unwrap(), 0);
    pool.close().await;
    run(&mut admin, &format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}")).await;
    admin.close().await.unwrap();
}

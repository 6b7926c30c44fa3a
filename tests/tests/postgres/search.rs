//! What is searched of a row, and the index for it on days that are over.

use rag_tower::postgres::{Database, DatabaseOptions, PgPartitions, PgTraceStore, migrate_traces};
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::macros::date;
use time::{Date, OffsetDateTime};

use super::support::{ask_on, trace_row, trace_row_of};

async fn scalar<T>(database: &TestDatabase, sql: &str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut database.admin().await).await.unwrap()
}

/// How many days have the index.
async fn indexed(database: &TestDatabase) -> i64 {
    scalar(
        database,
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indisvalid AND c.relname LIKE 'request\\_traces\\_%\\_search'",
    )
    .await
}

#[tokio::test]
async fn the_library_and_the_database_fold_alike() {
    let database = TestDatabase::migrated().await;
    let mut row = trace_row("a");
    // each letter by itself: the order of marks that follow each other is nobody's business here
    let letters =
        [0x20..0x250, 0x370..0x52f, 0x5d0..0x600, 0x620..0x6ff, 0x900..0x97f, 0xe00..0xe5f, 0x1e00..0x1ffe]
            .into_iter()
            .chain([
                0x2000..0x209d,
                0x20a0..0x2bff,
                0x3040..0x3100,
                0xac00..0xac80,
                0xfb00..0xfb07,
                0xff00..0xffef,
            ])
            .flat_map(|block| block.filter_map(char::from_u32).flat_map(|c| ['x', c, ' ']));
    row.question = Some(letters.collect::<String>().into());
    row.answer = Some(format!(" Học\u{a0}phí\n\n{}", "ĐẮT Ǆ ﷺ ".repeat(4_000)).into());
    PgTraceStore::new(&database.database().await).insert(&[row]).await.unwrap();
    let (ours, theirs): (String, String) = sqlx::query_as(
        "SELECT search_text, concat(rag_tower.search_fold(question), E'\\n', rag_tower.search_fold(answer))
         FROM rag_tower.request_traces",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    let differ: Vec<_> =
        ours.split(' ').zip(theirs.split(' ')).filter(|(ours, theirs)| ours != theirs).collect();
    assert!(differ.is_empty(), "{:?}", &differ[..differ.len().min(40)]);
    assert_eq!(ours, theirs);
    assert!(ours.contains("\nhoc phi dat dz "), "the answer is there");
}

#[tokio::test]
async fn rows_from_before_the_search_are_searched() {
    let database = TestDatabase::empty().await;
    let login = format!("old_{}", std::process::id());
    let create = "CREATE ROLE {login} LOGIN PASSWORD 'x' NOSUPERUSER NOCREATEROLE;
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {login}', current_database()); END $$";
    database.run_as_admin(&create.replace("{login}", &login)).await;
    let url = database.url_of(&login, "x");
    let mut own = PgConnection::connect(&url).await.unwrap();
    run(&mut own, include_str!("../../../migrations/trace/20261120000001_traces.sql")).await;
    run(&mut own, include_str!("../../../migrations/trace/20261121000001_rollups.sql")).await;
    run(
        &mut own,
        "BEGIN; SET LOCAL rag.writer = 'on';
         INSERT INTO rag_tower.request_traces (trace_id, ts, tenant_id, channel, status, latency_us, question, answer)
         VALUES (gen_random_uuid(), now(), gen_random_uuid(), 'api', 'SUCCESS', 1, 'Học  phí?', NULL),
                (gen_random_uuid(), now(), gen_random_uuid(), 'api', 'SUCCESS', 1, NULL, NULL); COMMIT",
    )
    .await;
    // as the owner of the tables, whom the policies bind too
    run(&mut own, include_str!("../../../migrations/trace/20261121000002_search.sql")).await;
    let texts: Vec<Option<String>> =
        sqlx::query_scalar("SELECT search_text FROM rag_tower.request_traces ORDER BY 1")
            .fetch_all(&mut database.admin().await)
            .await
            .unwrap();
    assert_eq!(texts, [Some("hoc phi?\n".to_owned()), None]);
    drop(own);
    database.run_as_admin(&format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}")).await;
}

#[tokio::test]
async fn days_that_are_over_are_closed_the_newest_first() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (store, partitions) = (PgTraceStore::new(&pool), PgPartitions::new(&pool));
    let days = ["2019-03-01", "2019-03-03", "2019-03-07"];
    store.insert(&days.map(|day| trace_row_of(ask_on(day), "a"))).await.unwrap();
    store.insert(&[trace_row("a")]).await.unwrap();
    // each write makes the day after too
    assert_eq!(partitions.close(date!(2019 - 03 - 08), 2).await.unwrap(), 2);
    let closed: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relname LIKE 'request\\_traces\\_%\\_search' ORDER BY 1",
    )
    .fetch_all(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(closed, ["request_traces_20190304_search", "request_traces_20190307_search"]);
    assert_eq!(partitions.close(date!(2019 - 03 - 08), 400).await.unwrap(), 3);
    assert_eq!(partitions.close(date!(2019 - 03 - 08), 400).await.unwrap(), 0);
    // never the present day, whatever is asked
    assert_eq!(partitions.close(date!(9999 - 01 - 01), 400).await.unwrap(), 1, "2019-03-08");
    let today: Date = OffsetDateTime::now_utc().date();
    assert!(days.iter().all(|day| !day.starts_with(&today.year().to_string())));
    assert_eq!(indexed(&database).await, 6);
    assert!(partitions.close(date!(2019 - 03 - 08), 0).await.is_err());

    // a late row goes into a closed day, and what is there already is not written again
    let late = trace_row_of(ask_on("2019-03-07"), "a");
    assert_eq!(store.insert(std::slice::from_ref(&late)).await.unwrap(), [late.trace_id]);
    assert!(store.insert(&[late]).await.unwrap().is_empty());
    // nothing that was built opens a way past the policies
    Database::connect(&database.options()).await.unwrap();
}

#[tokio::test]
async fn without_the_extension_nothing_is_closed() {
    let database = TestDatabase::empty().await;
    migrate_traces(&database.admin_url()).await.unwrap();
    let mut admin = database.admin().await;
    run(&mut admin, "SELECT rag_tower.ensure_partitions('2019-03-01', 2)").await;
    let closed: i32 = scalar(&database, "SELECT rag_tower.close_partitions('2019-03-08', 10)").await;
    assert_eq!((closed, indexed(&database).await), (0, 0));
    // whoever creates it later has the days closed
    run(&mut admin, "CREATE SCHEMA elsewhere; CREATE EXTENSION pg_trgm WITH SCHEMA elsewhere").await;
    let closed: i32 = scalar(&database, "SELECT rag_tower.close_partitions('2019-03-08', 10)").await;
    assert_eq!((closed, indexed(&database).await), (2, 2));
}

#[tokio::test]
async fn a_day_that_is_written_to_is_closed_later() {
    let database = TestDatabase::migrated().await;
    let pool = Database::connect(&DatabaseOptions::new(database.app_url()).max_connections(2)).await.unwrap();
    PgTraceStore::new(&pool).insert(&[trace_row_of(ask_on("2019-03-01"), "a")]).await.unwrap();
    let mut writer = database.admin().await;
    run(&mut writer, "BEGIN; LOCK rag_tower.request_traces_20190302 IN ROW EXCLUSIVE MODE").await;
    let partitions = PgPartitions::new(&pool);
    assert!(partitions.close(date!(2019 - 03 - 08), 400).await.is_err(), "it does not wait for ever");
    assert_eq!(indexed(&database).await, 0, "all or nothing");
    run(&mut writer, "COMMIT").await;
    assert_eq!(partitions.close(date!(2019 - 03 - 08), 400).await.unwrap(), 2);
}

#[tokio::test]
async fn only_the_jobs_role_closes_days() {
    let database = TestDatabase::migrated().await;
    let mut app = database.app().await;
    for role in ["none", "rag_tenant", "rag_writer", "rag_owner", "rag_resolver"] {
        for function in ["close_partitions('2019-03-08', 10)", "search_fold('x')"] {
            let sql = format!("BEGIN; SET LOCAL ROLE {role}; SELECT rag_tower.{function}");
            let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut app).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{role}: {refused}");
            run(&mut app, "ROLLBACK").await;
        }
    }
}

//! Trace rows: once each, on whichever day, by a server or by an application of its own.

use std::sync::Arc;
use std::time::Duration;

use rag_tower::postgres::{
    Database, DatabaseOptions, PgTraceStore, TenantTx, migrate_traces, sources_of_row,
};
use rag_tower::test_util::trace_contract::{self, KeptRow};
use rag_tower::trace::{Outcome, Phase, TraceStore};
use rag_tower::{ErrorKind, Stage, TenantId};
use rag_tower_tests::postgres::{TestDatabase, run};
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::support::{ask_on, id_of, scope, trace_row, trace_row_of};

async fn rows(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM rag_tower.request_traces")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_field_arrives() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    let row = trace_row("a");
    assert_eq!(store.insert(std::slice::from_ref(&row)).await.unwrap(), [row.trace_id]);
    let kept: Value = sqlx::query_scalar("SELECT to_jsonb(t) FROM rag_tower.request_traces t")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap();
    for (column, expected) in [
        ("trace_id", serde_json::json!(row.trace_id)),
        ("tenant_id", serde_json::json!(id_of("a"))),
        ("branch_id", "00000000-0000-0000-0000-000000000007".into()),
        ("session_id", serde_json::json!(row.session_id)),
        ("request_id", "req-1".into()),
        ("subject", "tester".into()),
        ("channel", "web".into()),
        ("route", "course_search".into()),
        ("status", "SUCCESS".into()),
        ("finish", "stop".into()),
        ("question", "Học phí IELTS?".into()),
        ("answer", "6.500.000 đồng [1]".into()),
        ("latency_us", 12_345.into()),
        ("latency_ms", 12.into()),
        ("ttft_us", 1_000.into()),
        ("input_tokens", 30.into()),
        ("output_tokens", 12.into()),
        ("total_tokens", 42.into()),
        ("estimated", true.into()),
        ("cost_estimate", serde_json::json!(0.0125)),
        ("llm_provider", "extractive".into()),
        ("llm_model", "none".into()),
        ("confidence", serde_json::json!(0.75)),
        ("error", Value::Null),
        ("error_kind", Value::Null),
        ("degraded", serde_json::json!(["keyword"])),
        (
            "receipt",
            serde_json::json!({
                "filter": {"tenant_id": id_of("a"), "branches": null}, "received": 0, "admitted": 2, "dropped": 0,
                "database": null, "cache": null, "verdict": "passed"
            }),
        ),
        ("tool_metadata", serde_json::json!({"fee": 6_500_000})),
        ("spans", serde_json::json!("retrieve:10:200")),
    ] {
        assert_eq!(kept[column], expected, "{column}");
    }
    assert_eq!(sources_of_row(kept["sources"].clone())[0]["file_name"], "fees.md");
    let ts: time::OffsetDateTime = sqlx::query_scalar("SELECT ts FROM rag_tower.request_traces")
        .fetch_one(&mut database.admin().await)
        .await
        .unwrap();
    assert_eq!(Some(ts), row.trace_id.timestamp(), "the time is the id's own");
}

#[tokio::test]
async fn every_outcome_has_a_status_that_the_table_takes() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    let outcomes = [
        Outcome::Truncated,
        Outcome::Cancelled(Phase::Streaming),
        Outcome::Panicked(Phase::BeforeFirstEvent),
        Outcome::Failed(ErrorKind::RateLimited, Stage::RateLimit),
        Outcome::Failed(ErrorKind::OverBudget, Stage::Admission),
        Outcome::Failed(ErrorKind::Isolation, Stage::Retrieve),
    ];
    let batch: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| {
            let mut row = trace_row("a");
            row.outcome = outcome;
            row
        })
        .collect();
    assert_eq!(store.insert(&batch).await.unwrap().len(), 6);
    let failed: (String, String, String) = sqlx::query_as(
        "SELECT status, error_kind, error_stage FROM rag_tower.request_traces WHERE status = 'FAIL_CLOSED'",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(failed, ("FAIL_CLOSED".into(), "isolation".into(), "retrieve".into()));
}

#[tokio::test]
async fn rows_keep_the_contract_of_traces() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    let admin = Mutex::new(database.admin().await);
    trace_contract::holds(&store, async |id| {
        let rows: Vec<(Uuid, Option<String>, Option<String>)> = sqlx::query_as(
            "SELECT tenant_id, question, answer FROM rag_tower.request_traces WHERE trace_id = $1",
        )
        .bind(id.as_uuid())
        .fetch_all(&mut *admin.lock().await)
        .await
        .unwrap();
        let kept = |(tenant, question, answer): (Uuid, Option<String>, Option<String>)| KeptRow {
            tenant: TenantId::new(tenant),
            question: question.map(Arc::from),
            answer: answer.map(Arc::from),
        };
        rows.into_iter().map(kept).collect::<Vec<_>>()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_batch_says_which_of_its_rows_are_new() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    let first = [trace_row("a"), trace_row("b")];
    assert_eq!(store.insert(&first).await.unwrap().len(), 2);
    assert!(store.insert(&first).await.unwrap().is_empty());
    let third = trace_row("a");
    let mixed = [first[0].clone(), third.clone(), third.clone()];
    assert_eq!(store.insert(&mixed).await.unwrap(), [third.trace_id]);
    assert!(store.insert(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_day_without_a_partition_gets_one_that_is_protected() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let store = PgTraceStore::new(&pool);
    let batch = [trace_row_of(ask_on("2031-02-28"), "a"), trace_row_of(ask_on("2019-12-31"), "a")];
    assert_eq!(store.insert(&batch).await.unwrap().len(), 2);
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'
         AND (NOT relrowsecurity OR NOT relforcerowsecurity OR relacl IS NOT NULL)",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(open, 0);
    Database::connect(&database.options()).await.unwrap();
}

#[tokio::test]
async fn a_partition_that_was_dropped_meanwhile_is_made_again() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    store.insert(&[trace_row_of(ask_on("2031-02-28"), "a")]).await.unwrap();
    database.run_as_admin("DROP TABLE rag_tower.request_traces_20310228").await;
    assert_eq!(store.insert(&[trace_row_of(ask_on("2031-02-28"), "a")]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_writers_meet_a_new_day_together() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let writes = (0..4).map(|_| {
        let store = PgTraceStore::new(&pool);
        async move { store.insert(&[trace_row_of(ask_on("2031-03-01"), "a")]).await }
    });
    for written in futures_util::future::join_all(writes).await {
        assert_eq!(written.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn t74_hostile_text_is_stored_and_a_row_that_cannot_be_is_named_as_such() {
    let database = TestDatabase::migrated().await;
    let store = PgTraceStore::new(&database.database().await);
    let mut hostile = trace_row("a");
    hostile.question = Some("a\0b'; DROP TABLE x; --\u{202e}".into());
    hostile.tool_metadata = serde_json::json!({"__proto__": "\0"}).as_object().cloned().unwrap();
    hostile.cost_estimate = Some(f64::NAN);
    // a time that Postgres has no partition for and never will
    let mut impossible = trace_row("a");
    impossible.confidence = Some(0.5);
    impossible.ts = time::macros::datetime!(-4800-01-01 00:00 UTC);
    let fine = trace_row("a");
    let refused = store.write(&[hostile.clone(), impossible]).await.unwrap_err();
    let refused = refused.downcast_ref::<rag_tower::Error>().map(rag_tower::Error::kind);
    assert_eq!(
        refused,
        Some(ErrorKind::InvalidInput),
        "the writer leaves such a row out instead of trying for ever"
    );
    store.write(&[hostile, fine]).await.unwrap();
    let questions: Vec<String> =
        sqlx::query_scalar("SELECT question FROM rag_tower.request_traces ORDER BY question")
            .fetch_all(&mut database.admin().await)
            .await
            .unwrap();
    assert_eq!(questions, ["Học phí IELTS?", "a\u{fffd}b'; DROP TABLE x; --\u{202e}"]);
}

#[tokio::test]
async fn a_tenant_reads_its_own_row_at_once_and_not_another_s() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let row = trace_row("a");
    PgTraceStore::new(&pool).insert(std::slice::from_ref(&row)).await.unwrap();
    for (tenant, expected) in [("a", 1), ("b", 0)] {
        let mut tx = TenantTx::begin(&pool, &scope(tenant)).await.unwrap();
        let seen: i64 =
            sqlx::query_scalar("SELECT count(*) FROM rag_tower.request_traces WHERE trace_id = $1")
                .bind(row.trace_id.as_uuid())
                .fetch_one(tx.connection())
                .await
                .unwrap();
        assert_eq!(seen, expected, "as {tenant}");
    }
}

#[tokio::test]
async fn a_lost_database_is_an_error_and_the_batch_can_be_written_later() {
    let database = TestDatabase::migrated().await;
    let pool =
        Database::connect(&database.options().acquire_timeout(Duration::from_millis(500))).await.unwrap();
    let store = PgTraceStore::new(&pool);
    let (_, name) =
        database.admin_url().split_once("localhost/").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let name = name.split('?').next().unwrap().to_owned();
    let mut other = PgConnection::connect(&database.admin_url().replace(&format!("/{name}?"), "/postgres?"))
        .await
        .unwrap();
    run(&mut other, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    run(
        &mut other,
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    )
    .await;
    let batch = [trace_row("a")];
    store.write(&batch).await.unwrap_err();
    run(&mut other, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    store.write(&batch).await.unwrap();
    assert_eq!(rows(&database).await, 1);
}

#[tokio::test]
async fn an_application_records_its_traces_as_its_own_role() {
    let database = TestDatabase::empty().await;
    let login = format!("shop_{}", std::process::id());
    database
        .run_as_admin(&format!(
            "CREATE ROLE {login} LOGIN PASSWORD 'x' NOSUPERUSER NOCREATEROLE;
             DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {login}', current_database()); END $$;
             CREATE TABLE public._sqlx_migrations (version bigint); INSERT INTO public._sqlx_migrations VALUES (1)"
        ))
        .await;
    let url = database.url_of(&login, "x");
    migrate_traces(&url).await.unwrap();
    migrate_traces(&url).await.unwrap();
    let pool = Database::connect_own(&DatabaseOptions::new(&url).max_connections(1)).await.unwrap();
    let store = PgTraceStore::new(&pool);
    let batch = [trace_row("a"), trace_row("b"), trace_row_of(ask_on("2031-01-01"), "b")];
    assert_eq!(store.insert(&batch).await.unwrap().len(), 3);
    assert!(store.insert(&batch).await.unwrap().is_empty());

    let mut own = PgConnection::connect(&url).await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM rag_tower.request_traces")
        .fetch_one(&mut own)
        .await
        .unwrap();
    assert_eq!(seen, 0, "without a tenant the owner of the tables reads nothing");
    let mut tx = TenantTx::begin(&pool, &scope("b")).await.unwrap();
    let seen = sqlx::query("SELECT count(*) FROM rag_tower.request_traces")
        .fetch_one(tx.connection())
        .await
        .unwrap();
    assert_eq!(seen.get::<i64, _>(0), 2);
    drop(tx);
    pool.close().await;
    drop(own);
    database.run_as_admin(&format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}")).await;
}

#[tokio::test]
async fn an_application_s_superuser_may_write_and_reads_nothing_through_us() {
    let database = TestDatabase::empty().await;
    migrate_traces(&database.admin_url()).await.unwrap();
    let pool =
        Database::connect_own(&DatabaseOptions::new(database.admin_url()).max_connections(1)).await.unwrap();
    PgTraceStore::new(&pool).insert(&[trace_row("a")]).await.unwrap();
    let refused = TenantTx::begin(&pool, &scope("a")).await.unwrap_err().to_string();
    assert!(refused.contains("superuser"), "{refused}");
}

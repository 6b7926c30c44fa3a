//! Documents, conversations, traces and feedback in Postgres, through a pool of three connections.

use std::sync::Arc;
use std::time::Duration;

use rag_tower::postgres::{Database, PgDocuments, PgFeedback, PgMemoryStore, PgTraceStore, Rating, TenantTx};
use rag_tower::retrieve::MemoryVectors;
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{AskId, Finish, TenantScope};
use rag_tower_tests::postgres::TestDatabase;

use super::engines::run;
use super::world::{DIMENSIONS, World};

/// All that a tenant is shown of traces and feedback: no condition of ours, the policies alone.
const READ: &str = "SELECT question FROM rag_tower.request_traces WHERE question IS NOT NULL
     UNION ALL SELECT comment FROM rag_tower.user_feedback WHERE comment IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn t14_t22_tenants_in_postgres_share_no_word() {
    let database = TestDatabase::migrated().await;
    let patient = database.options().max_connections(3).acquire_timeout(Duration::from_secs(60));
    let pool = Database::connect(&patient).await.unwrap();
    let (documents, memory) = (PgDocuments::new(&pool), PgMemoryStore::new(&pool));
    let mut world =
        World::new(Arc::new(documents), Arc::new(MemoryVectors::new(DIMENSIONS, 10_000)), Arc::new(memory));
    let (traces, feedback) = (PgTraceStore::new(&pool), PgFeedback::new(&pool));
    world.beside = Some(Arc::new(move |scope, word| {
        let (pool, traces, feedback) = (pool.clone(), traces.clone(), feedback.clone());
        Box::pin(async move { beside(&pool, &traces, &feedback, &scope, &word).await })
    }));
    run("Postgres", world, 60).await;
}

/// Leaves a trace and an opinion of it that hold the word, and reads every trace and opinion there is for the tenant.
async fn beside(
    pool: &Database,
    traces: &PgTraceStore,
    feedback: &PgFeedback,
    scope: &TenantScope,
    word: &str,
) -> Vec<String> {
    let ended = Outcome::Completed(Finish::Stop);
    let mut row = TraceRow::new(AskId::generate(), scope.tenant(), ended, Duration::from_millis(1));
    row.question = Some(format!("what of {word}?").into());
    let written = traces.insert(std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(written, [row.trace_id]);
    feedback.put(scope, row.trace_id, Rating::Up, Some(word)).await.unwrap();
    let mut tx = TenantTx::begin(pool, scope).await.unwrap();
    let read = sqlx::query_scalar(READ).fetch_all(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    read
}

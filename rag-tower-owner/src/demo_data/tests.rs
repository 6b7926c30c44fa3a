//! Filling and removing, in a database of its own.

use rag_tower::postgres::{PgFeedback, PgTraceStore, Rating};
use rag_tower::trace::Outcome;
use rag_tower::{AskId, Finish};
use sqlx::Row;
use std::time::Duration;
use time::OffsetDateTime;

use super::record::State;
use super::*;
use crate::owner_store::tests::Fixture;

async fn work(database: &Database, what: What) -> Work {
    begin_now(database, what).await.unwrap().unwrap()
}

async fn count(fixture: &mut Fixture, table: &str) -> i64 {
    let counted = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM rag_tower.{table}"));
    sqlx::query(counted).fetch_one(&mut fixture.admin).await.unwrap().get(0)
}

/// Adds up every day that the demo touches, and compares with the rollups.
async fn checked(database: &Database) -> i64 {
    let rollups = PgRollups::new(database);
    rollups.fold_all().await.unwrap();
    let now = OffsetDateTime::now_utc();
    let (differences, asks) = rollups.check(now - time::Duration::days(32), now).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    asks
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filled_is_in_the_figures_and_goes_without_a_trace_while_real_rows_stay() {
    let mut fixture = Fixture::new().await;
    let database = fixture.database.clone();
    // real rows among the made-up ones: of today, of long ago, and one whose caller chose a demo's request id
    let store = PgTraceStore::new(&database);
    let tenant = TenantId::named("language-centre");
    let mut real = Vec::new();
    for (n, days_ago) in [0_u8, 3, 12].into_iter().enumerate() {
        let at = OffsetDateTime::now_utc() - time::Duration::days(days_ago.into());
        let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &[n as u8; 10]).into_uuid();
        let outcome = Outcome::Completed(Finish::Stop);
        let mut row = TraceRow::new(AskId::new(id), tenant, outcome, Duration::from_millis(5));
        row.request_id = Some("demo-of-a-caller".into());
        row.tool_metadata.insert("demo".into(), json!("true"));
        real.push(row);
    }
    store.insert(&real).await.unwrap();
    PgFeedback::new(&database)
        .put(&scope_of(tenant), real[1].trace_id, Rating::Up, Some("demo"))
        .await
        .unwrap();
    assert_eq!(checked(&database).await, 3);

    let filling = work(&database, What::Fill).await;
    assert_eq!(begin_now(&database, What::Fill).await.unwrap().unwrap_err(), Refusal::Busy);
    assert_eq!(begin_now(&database, What::Remove).await.unwrap().unwrap_err(), Refusal::Busy);
    // it breaks off, and is gone on with by another
    let mut seen = 0;
    tokio::select! {
        done = carry_out(&database, &filling, |asks| seen += asks) => done.unwrap(),
        () = async {
            while status(&database).await.unwrap().done < 2_000 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert!((2_000..filling.rows).contains(&(seen as i64)), "{seen}");
    filling.leave(&database).await.unwrap();
    let broken = status(&database).await.unwrap();
    assert!(broken.stopped && broken.state == State::Filling, "{broken:?}");

    let again = work(&database, What::Fill).await;
    assert_eq!((again.until, again.rows), (filling.until, filling.rows));
    assert!(!filling.step(&database, 1).await.unwrap(), "it is another's now");
    carry_out(&database, &again, |_| {}).await.unwrap();
    let there = status(&database).await.unwrap();
    assert_eq!((there.state, there.done, there.stopped), (State::There, there.rows, false));
    assert_eq!(begin_now(&database, What::Fill).await.unwrap().unwrap_err(), Refusal::There);
    assert_eq!(checked(&database).await, there.rows + 3);
    let (opinions, tickets) =
        (count(&mut fixture, "user_feedback").await, count(&mut fixture, "handoff_tickets").await);
    assert!(opinions > 1_000 && tickets > 200, "{opinions} {tickets}");

    // what the owner did with them goes with them
    for did in [
        "INSERT INTO rag_tower.handoff_history (id, tenant_id, ticket_id, who, note)
         SELECT gen_random_uuid(), tenant_id, id, 'owner', 'called' FROM rag_tower.handoff_tickets LIMIT 5",
        "INSERT INTO rag_tower.feedback_reviews (feedback_id, tenant_id, state, reviewed_by)
         SELECT id, tenant_id, 'done', 'owner' FROM rag_tower.user_feedback WHERE subject = 'demo-data' LIMIT 5",
    ] {
        sqlx::query(did).execute(&mut fixture.admin).await.unwrap();
    }

    // a server folds and writes meanwhile
    let removing = work(&database, What::Remove).await;
    let folding = async {
        loop {
            PgRollups::new(&database).fold().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut removed = 0;
    tokio::select! {
        done = carry_out(&database, &removing, |asks| removed += asks) => done.unwrap(),
        () = folding => {}
    }
    assert_eq!(removed as i64, there.rows);
    assert_eq!(status(&database).await.unwrap().state, State::None);
    assert_eq!(begin_now(&database, What::Remove).await.unwrap().unwrap_err(), Refusal::None);
    assert_eq!(checked(&database).await, 3, "the real ones");
    assert_eq!(count(&mut fixture, "request_traces").await, 3);
    assert_eq!(count(&mut fixture, "user_feedback").await, 1);
    for table in ["handoff_tickets", "handoff_history", "feedback_reviews", "demo_data"] {
        assert_eq!(count(&mut fixture, table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_can_remove_a_row_that_is_not_marked() {
    let mut fixture = Fixture::new().await;
    let database = fixture.database.clone();
    let outcome = Outcome::Completed(Finish::Stop);
    let row = TraceRow::new(AskId::generate(), TenantId::named("a"), outcome, Duration::ZERO);
    PgTraceStore::new(&database).insert(std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(PgRollups::new(&database).remove_demo(row.ts.date()).await.unwrap(), 0);
    for role in ["rag_jobs", "rag_owner", "rag_tenant", "rag_writer"] {
        let mut tx = sqlx::Connection::begin(&mut fixture.admin).await.unwrap();
        let begin = format!("SET LOCAL ROLE {role}; SET LOCAL rag.writer = 'fold'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut *tx).await.unwrap();
        let deleted = sqlx::query("DELETE FROM rag_tower.request_traces").execute(&mut *tx).await;
        assert_eq!(
            deleted.unwrap_err().as_database_error().unwrap().code().as_deref(),
            Some("42501"),
            "{role}"
        );
    }
    // nor may a tenant call what removes
    let mut tx = TenantTx::begin(&database, &scope_of(TenantId::named("a"))).await.unwrap();
    let call = "SELECT rag_tower.remove_demo('-infinity', 'infinity', $1, $1)";
    let refused = sqlx::query(call).bind(uuid::Uuid::nil()).execute(tx.connection()).await;
    assert_eq!(refused.unwrap_err().as_database_error().unwrap().code().as_deref(), Some("42501"));
}

//! Demo data: a database with the demo tenants in, thirty days of their traffic in it out, and without it again.
//!
//! The rows go the way of every row: in batches to the trace store, which adds them to the rollups. Each is marked, with
//! `"demo": true` in `tool_metadata` and a `request_id` that begins with `demo-`, and exactly the marked ones are removed, a day
//! in each transaction, with their feedback, their tickets and what they are in the rollups.

mod command;
mod desk;
mod record;
mod talk;
mod traffic;

use std::sync::Arc;

use rag_tower::postgres::{Database, DatabaseError, OwnerTx, PgRollups, PgTraceStore, TenantTx};
use rag_tower::tenant::TenantId;
use rag_tower::trace::TraceRow;
use serde_json::json;

pub(crate) use self::command::{Command, command};
pub(crate) use self::desk::{Desk, work_at};
pub(crate) use self::record::{Refusal, Status, What, Work, begin, status};
use self::traffic::{Made, Traffic};
use crate::failure::Failure;
use crate::platform::{refused, scope_of};

/// Rows that are written together.
const BATCH: usize = 250;
/// Whose the opinions are, which marks them.
const SUBJECT: &str = "demo-data";

/// Opinions come before their asks, so that one fold takes both.
const PUT_OPINIONS: &str =
    "INSERT INTO rag_tower.user_feedback (id, ts, tenant_id, trace_id, subject, rating, comment)
     SELECT id, ts, $1, trace, $2, rating, comment
     FROM UNNEST($3::uuid[], $4::timestamptz[], $5::uuid[], $6::smallint[], $7::text[]) AS o (id, ts, trace, rating, comment)
     ON CONFLICT DO NOTHING";
const PUT_TICKETS: &str =
    "INSERT INTO rag_tower.handoff_tickets
         (id, ts, updated_at, tenant_id, trace_id, session_id, phone, message, reason, status, meta)
     SELECT id, ts, updated_at, $1, trace, session, phone, message, 'asked_for_a_person', status, $2
     FROM UNNEST($3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[])
         AS t (id, ts, updated_at, trace, session, phone, message, status)
     ON CONFLICT DO NOTHING";

/// Takes work on in a transaction of its own.
pub(crate) async fn begin_now(
    database: &Database,
    what: What,
) -> Result<Result<Work, Refusal>, DatabaseError> {
    let mut tx = OwnerTx::change(database).await?;
    let begun = begin(tx.connection(), what).await?;
    tx.commit().await?;
    Ok(begun)
}

/// Does the work, and tells `done` each time how many asks more are done.
///
/// # Cancellation
/// What is written stays. The work may be taken on again, at once after [`Work::leave`](record::Work::leave).
pub(crate) async fn carry_out(
    database: &Database,
    work: &Work,
    mut done: impl FnMut(u64),
) -> Result<(), Failure> {
    let worked = match work.what {
        What::Fill => fill(database, work, &mut done).await,
        What::Remove => remove(database, work, &mut done).await,
    };
    match worked {
        Ok(()) => work.finish(database).await.map_err(refused),
        Err(failure) => {
            // whoever comes next need not wait until nobody has been seen for a while
            let _ = work.leave(database).await;
            Err(failure)
        }
    }
}

async fn fill(database: &Database, work: &Work, done: &mut impl FnMut(u64)) -> Result<(), Failure> {
    let traffic = Traffic::new(work.until)
        .map_err(|error| Failure::because("the demo's traffic is damaged", &error))?;
    let traffic = Arc::new(traffic);
    let store = PgTraceStore::new(database);
    // from the oldest day on, as it would have happened
    for days_ago in (0..work.days).rev() {
        let of = Arc::clone(&traffic);
        let day = tokio::task::spawn_blocking(move || of.day(days_ago)).await;
        let day = day.map_err(|error| Failure::because("the demo's traffic cannot be made", &error))?;
        for batch in day.chunks(BATCH) {
            put(database, &store, batch).await.map_err(refused)?;
            step(database, work, batch.len() as u64, done).await?;
        }
    }
    Ok(())
}

async fn put(database: &Database, store: &PgTraceStore, batch: &[Made]) -> Result<(), DatabaseError> {
    let mut tenants: Vec<TenantId> = batch.iter().map(|made| made.row.tenant_id).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for tenant in &tenants {
        put_opinions(database, *tenant, batch).await?;
    }
    let rows: Vec<TraceRow> = batch.iter().map(|made| made.row.clone()).collect();
    store.insert(&rows).await?;
    for tenant in &tenants {
        put_tickets(database, *tenant, batch).await?;
    }
    Ok(())
}

async fn put_opinions(database: &Database, tenant: TenantId, batch: &[Made]) -> Result<(), DatabaseError> {
    let of_tenant = batch.iter().filter(|made| made.row.tenant_id == tenant);
    let opinions: Vec<_> =
        of_tenant.filter_map(|made| Some((made.row.trace_id.as_uuid(), made.opinion.as_ref()?))).collect();
    if opinions.is_empty() {
        return Ok(());
    }
    let mut tx = TenantTx::begin(database, &scope_of(tenant)).await?;
    sqlx::query(PUT_OPINIONS)
        .bind(tenant.as_uuid())
        .bind(SUBJECT)
        .bind(opinions.iter().map(|(_, opinion)| opinion.id).collect::<Vec<_>>())
        .bind(opinions.iter().map(|(_, opinion)| opinion.at).collect::<Vec<_>>())
        .bind(opinions.iter().map(|(trace, _)| *trace).collect::<Vec<_>>())
        .bind(opinions.iter().map(|(_, opinion)| opinion.rating.as_i16()).collect::<Vec<_>>())
        .bind(opinions.iter().map(|(_, opinion)| opinion.comment.clone()).collect::<Vec<_>>())
        .execute(tx.connection())
        .await?;
    tx.commit().await
}

async fn put_tickets(database: &Database, tenant: TenantId, batch: &[Made]) -> Result<(), DatabaseError> {
    let of_tenant = batch.iter().filter(|made| made.row.tenant_id == tenant);
    let tickets: Vec<_> = of_tenant.filter_map(|made| Some((&made.row, made.ticket.as_ref()?))).collect();
    if tickets.is_empty() {
        return Ok(());
    }
    let mut tx = TenantTx::begin(database, &scope_of(tenant)).await?;
    sqlx::query(PUT_TICKETS)
        .bind(tenant.as_uuid())
        .bind(json!({ "demo": true }))
        .bind(tickets.iter().map(|(_, ticket)| ticket.id).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(_, ticket)| ticket.at).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(_, ticket)| ticket.updated_at).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(row, _)| row.trace_id.as_uuid()).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(row, _)| row.session_id.map(|id| id.as_uuid())).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(_, ticket)| ticket.phone.clone()).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(_, ticket)| ticket.message.clone()).collect::<Vec<_>>())
        .bind(tickets.iter().map(|(_, ticket)| ticket.status).collect::<Vec<_>>())
        .execute(tx.connection())
        .await?;
    tx.commit().await
}

/// Day by day: each is done or as before.
async fn remove(database: &Database, work: &Work, done: &mut impl FnMut(u64)) -> Result<(), Failure> {
    let rollups = PgRollups::new(database);
    let last = work.until.date();
    let mut day = (work.until - time::Duration::days(work.days.into())).date();
    while day <= last {
        let removed = rollups.remove_demo(day).await.map_err(refused)?;
        step(database, work, removed.unsigned_abs(), done).await?;
        match day.next_day() {
            Some(next) => day = next,
            None => break,
        }
    }
    Ok(())
}

async fn step(
    database: &Database,
    work: &Work,
    asks: u64,
    done: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    if !work.step(database, i64::try_from(asks).unwrap_or(i64::MAX)).await.map_err(refused)? {
        return Err(Failure::new("another process has taken this over"));
    }
    done(asks);
    Ok(())
}

#[cfg(test)]
mod tests;

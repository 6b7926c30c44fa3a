//! The job that watches figures for the owner: rules in, their state each minute and webhooks that are told of it out.

mod webhook;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use metrics::gauge;
use rag_tower::postgres::DatabaseError;
use tokio::time::{MissedTickBehavior, interval, timeout};

pub(crate) use self::webhook::{Webhooks, is_webhook};
use crate::owner_store::{Notice, OwnerStore};

/// How often rules are judged.
const EVERY: Duration = Duration::from_secs(60);
/// A database that does not answer for so long is away.
const PATIENCE: Duration = Duration::from_secs(45);
/// Webhooks that are told at once.
const AT_ONCE: usize = 4;

/// Watches until it is dropped: what was being told is due again later. Servers on one database take turns in judging and
/// share the telling.
pub(crate) async fn keep_watching(store: OwnerStore, webhooks: Webhooks) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let error = match timeout(PATIENCE, watch_once(&store, &webhooks)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        };
        match &error {
            Some(error) if !failing => tracing::warn!(error, "alerts cannot be watched"),
            None if failing => tracing::info!("alerts are watched again"),
            _ => {}
        }
        failing = error.is_some();
    }
}

/// Judges, and tells what there is to tell.
pub(crate) async fn watch_once(store: &OwnerStore, webhooks: &Webhooks) -> Result<(), DatabaseError> {
    store.judge_alerts().await?;
    gauge!("rag_alerts_firing").set(store.alerts_firing().await? as f64);
    let notices = store.take_notices().await?;
    let mut told =
        iter(notices).map(|notice| tell(store.clone(), webhooks.clone(), notice)).buffer_unordered(AT_ONCE);
    while let Some(settled) = told.next().await {
        settled?;
    }
    Ok(())
}

async fn tell(store: OwnerStore, webhooks: Webhooks, notice: Notice) -> Result<(), DatabaseError> {
    let done = webhooks.tell(&notice).await;
    store.settle_notice(&notice, &done).await
}

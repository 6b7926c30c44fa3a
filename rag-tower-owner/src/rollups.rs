//! The job that folds rollups: a database in, rollups that are about a second behind out. Figures are exact all the same:
//! what is not folded is read beside them, which only takes longer the more there is.

use std::time::Duration;

use rag_tower::postgres::{DatabaseError, PgRollups};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Folds until it is told to stop. Servers on one database take turns.
pub(crate) async fn keep_folded(rollups: PgRollups, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        failing = report(rollups.fold_all().await.map(drop), failing);
    }
}

/// Folds what is left, for at most `grace`; what stays is folded by whoever comes next.
pub(crate) async fn fold_rest(rollups: &PgRollups, grace: Duration) {
    if let Ok(done) = timeout(grace, rollups.fold_all()).await {
        report(done.map(drop), false);
    }
}

/// Says it once when it begins to fail, and once when it works again.
fn report(done: Result<(), DatabaseError>, failing: bool) -> bool {
    match done {
        Ok(()) if failing => tracing::info!("rollups are folded again"),
        Ok(()) => {}
        Err(error) if !failing => {
            tracing::warn!(%error, "rollups cannot be folded; figures stay right and become slower");
            return true;
        }
        Err(_) => return true,
    }
    false
}

//! The job that folds rollups: a database in, rollups that are about a second behind out. Figures are exact all the same:
//! what is not folded is read beside them, which only takes longer the more there is.

use std::time::Duration;

use metrics::gauge;
use rag_tower::postgres::{DatabaseError, PgRollups};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often it says how far the rollups are behind.
const MEASURED: Duration = Duration::from_secs(5);
/// A database that does not answer for so long is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Folds until it is told to stop. Servers on one database take turns.
pub(crate) async fn keep_folded(rollups: PgRollups, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    let mut measured: Option<Instant> = None;
    let mut known = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        // before it folds, when what waits is to be seen
        if measured.is_none_or(|at| at.elapsed() >= MEASURED) {
            measure(&rollups, &mut known).await;
            measured = Some(Instant::now());
        }
        // what takes longer has folded some of it, and goes on
        if let Ok(done) = timeout(PATIENCE, rollups.fold_all()).await {
            failing = report(done.map(drop), failing);
        }
    }
}

/// Says how far the rollups are behind. While nobody can tell, that grows by itself.
async fn measure(rollups: &PgRollups, known: &mut Instant) {
    match timeout(MEASURED, rollups.lag()).await {
        Ok(Ok(lag)) => {
            gauge!("rag_rollup_deltas_waiting").set(lag.deltas as f64);
            gauge!("rag_rollup_lag_seconds").set(lag.oldest.as_secs_f64());
            *known = Instant::now();
        }
        _ => gauge!("rag_rollup_lag_seconds").set(known.elapsed().as_secs_f64()),
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

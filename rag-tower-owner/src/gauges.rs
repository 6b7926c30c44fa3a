//! The job that looks at what does not announce itself: pools, dependencies and tickets in, gauges out.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rag_tower::postgres::Database;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::app::App;

/// How often it looks: more often than Prometheus asks.
const EVERY: Duration = Duration::from_secs(5);
/// What takes longer is left as it was.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pools of connections, by what they are for.
pub(crate) type Pools = [(&'static str, Database); 3];

/// Looks until it is dropped.
pub(crate) async fn keep_sampled(app: Arc<App>, pools: Pools) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sample(&app, &pools).await;
    }
}

/// Looks at everything once, for at most some seconds.
pub(crate) async fn sample(app: &App, pools: &Pools) {
    for (pool, database) in pools {
        let (open, idle) = database.connections();
        let used = f64::from(open) - idle as f64;
        gauge!("rag_db_pool_connections", "pool" => *pool, "state" => "idle").set(idle as f64);
        // both are read one after the other
        gauge!("rag_db_pool_connections", "pool" => *pool, "state" => "used").set(used.max(0.0));
        gauge!("rag_db_pool_max_connections", "pool" => *pool).set(f64::from(database.max_connections()));
    }
    gauge!("rag_ingest_oldest_queued_seconds").set(app.intake.jobs().oldest().as_secs_f64());
    let (reached, open) = tokio::join!(app.system.reach(), timeout(PATIENCE, app.owner.open_handoffs()));
    for (dependency, up) in reached {
        gauge!("rag_dependency_up", "dependency" => dependency).set(f64::from(u8::from(up)));
    }
    // while the database is away, what was known last stays
    if let Ok(Ok((new, contacted))) = open {
        gauge!("rag_handoffs_open", "status" => "new").set(new as f64);
        gauge!("rag_handoffs_open", "status" => "contacted").set(contacted as f64);
    }
}

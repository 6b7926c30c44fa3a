//! The job that keeps partitions: a database in, a partition for tomorrow always there, days that are over
//! indexed for searching, and old ones dropped out.

use std::time::Duration;

use rag_tower::postgres::{PgPartitions, Upkeep};
use tokio::time::{sleep, timeout};

/// How often it looks.
const EVERY: Duration = Duration::from_hours(1);
/// How soon it tries again when something is left to do.
const AGAIN: Duration = Duration::from_mins(1);
/// A database that does not answer for so long is away; the text index of a large day takes minutes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Keeps partitions until it is dropped. Servers on one database take turns.
pub(crate) async fn keep_partitions(partitions: PgPartitions, upkeep: Upkeep) {
    let mut failing = false;
    loop {
        let wait = match timeout(PATIENCE, partitions.upkeep(&upkeep)).await {
            Ok(Ok(kept)) => {
                if failing {
                    tracing::info!("partitions of the trace table are kept again");
                }
                if kept.dropped.partitions > 0 {
                    tracing::info!(days = kept.dropped.partitions, "old days of trace rows are dropped");
                }
                failing = false;
                if kept.dropped.left { AGAIN } else { EVERY }
            }
            problem => {
                // said once: rows are written all the same, into partitions that their writer makes
                if !failing {
                    let error = problem.map_or_else(|late| late.to_string(), |kept| said(kept.err()));
                    tracing::warn!(error, "partitions of the trace table cannot be kept");
                }
                failing = true;
                AGAIN
            }
        };
        sleep(wait).await;
    }
}

fn said(error: Option<rag_tower::postgres::DatabaseError>) -> String {
    error.map(|error| error.to_string()).unwrap_or_default()
}

//! The job that keeps prices: a database in, a book that is some seconds old at most and asks that are priced by it out.

use std::time::Duration;

use rag_tower::postgres::{DatabaseError, PgPrices, Prices};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// Asks that are priced again in one transaction.
const ROWS: u32 = 500;
/// What one look may do, so that the next is not far: prices that are new are more urgent than old asks.
const STEPS: u32 = 50;
/// A database that does not answer for so long is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps prices until it is dropped. Servers on one database share the work.
pub(crate) async fn keep_priced(store: PgPrices, prices: Prices) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let look = async {
            prices.set(store.book().await?);
            for _ in 0..STEPS {
                if !store.reprice(ROWS).await?.more {
                    break;
                }
            }
            Ok::<_, DatabaseError>(())
        };
        match timeout(PATIENCE, look).await {
            Ok(Ok(())) if failing => {
                tracing::info!("asks are priced again");
                failing = false;
            }
            // what takes longer has done some of it, and goes on
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                if !failing {
                    tracing::warn!(%error, "prices cannot be read: asks are priced by those that are known");
                }
                failing = true;
            }
        }
    }
}

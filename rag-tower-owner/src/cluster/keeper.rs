//! A Postgres that ended by itself in, a new one out.

use std::time::Duration;

use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{ClusterOptions, Prepared};

/// The wait after the first start that failed, which doubles each time, and the longest one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The task that starts a postmaster again whenever it has ended. It ends when this is dropped; the postmaster goes on.
pub(super) struct Keeper(JoinHandle<()>);

// === impl Keeper ===

impl Keeper {
    /// Keeps a postmaster that has been started.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one task of the cluster; `end` awaits it, `drop` aborts it"
    )]
    pub(super) fn of(prepared: Prepared, options: ClusterOptions, mut postmaster: Child) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let ended = postmaster.wait().await;
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(%status, "Postgres has ended by itself and is started again");
                postmaster = again(&prepared, &options).await;
            }
        }))
    }

    /// Returns when no postmaster is being started any more.
    pub(super) async fn end(mut self) {
        self.0.abort();
        let _aborted = (&mut self.0).await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tries until it comes up: what stopped it, such as a full disk, may be mended at any time.
async fn again(prepared: &Prepared, options: &ClusterOptions) -> Child {
    let (mut wait, longest) = BACKOFF;
    loop {
        match prepared.spawn(options).await {
            Ok(postmaster) => {
                tracing::info!("Postgres is up again");
                return postmaster;
            }
            Err(error) => tracing::error!(%error, "Postgres cannot be started again yet"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

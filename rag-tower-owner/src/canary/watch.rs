//! How the canaries are: rounds in, their state for the owner, metrics and the log out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::prober::Prober;
use super::state::CanaryState;
use crate::isolation::report;

/// How long documents may take to be removed at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The canaries of this process.
#[derive(Debug)]
pub(crate) struct Canary {
    /// Who asks, and how often; none when nobody does.
    asking: Option<(Prober, Duration)>,
    state: Mutex<CanaryState>,
}

// === impl Canary ===

impl Canary {
    /// Canaries that ask every so often, once [`keep_asking`](Self::keep_asking) runs; none never ask.
    pub(crate) fn new(asking: Option<(Prober, Duration)>) -> Self {
        let every = asking.as_ref().map(|(_, every)| *every);
        Self { asking, state: Mutex::new(CanaryState::new(every)) }
    }

    /// True when they ask.
    pub(crate) fn is_on(&self) -> bool {
        self.asking.is_some()
    }

    /// How they were last.
    pub(crate) fn state(&self) -> CanaryState {
        self.lock().clone()
    }

    /// One round, after one that is under way. Nothing when they do not ask.
    ///
    /// A round that could not be made leaves the metrics as they are: they say since when nothing is known.
    pub(crate) async fn round(&self) {
        let Some((prober, every)) = &self.asking else { return };
        let (found, rotated) = prober.round(*every).await;
        let mut state = self.lock();
        let stood = state.trouble().is_some();
        state.rotated_at = rotated;
        state.conclude(found, OffsetDateTime::now_utc());
        for leak in state.leaks() {
            counter!("rag_isolation_violations_total", "layer" => "canary").increment(1);
            let (check, detail) = (leak.name.as_str(), leak.detail.as_deref().unwrap_or_default());
            let ask = leak.trace_id.map(|ask| ask.to_string()).unwrap_or_default();
            tracing::error!(
                check,
                detail,
                ask,
                "tenants are not kept apart: a canary saw what is not its own"
            );
        }
        match state.trouble() {
            Some(why) if !stood && state.leaks().next().is_none() => {
                tracing::warn!(why, "the canaries cannot show that tenants are kept apart");
            }
            None if stood => tracing::info!("the canaries show again that tenants are kept apart"),
            _ => {}
        }
        if let Some(ok) = state.ok {
            report("canary", ok);
        }
    }

    /// Asks, from now on and every so often.
    pub(crate) async fn keep_asking(&self) {
        let Some((_, every)) = &self.asking else { return };
        let mut ticks = interval(*every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.round().await;
        }
    }

    /// Removes what this process's canaries have, as far as that is quick; another process removes the rest within the hour.
    pub(crate) async fn leave(&self) {
        let Some((prober, _)) = &self.asking else { return };
        if timeout(FAREWELL, prober.leave()).await.is_err() {
            tracing::debug!("documents of canaries stay; another server removes them within the hour");
        }
    }

    fn lock(&self) -> MutexGuard<'_, CanaryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The formula.

use std::time::Duration;

/// How much is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    per_minute: u32,
}

/// What a store says of one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Allowed,
    /// It may run after this time.
    Wait(Duration),
}

// === impl Quota ===

impl Quota {
    /// So many asks per minute, all of which may come at once. 0 is off: everything is allowed.
    #[must_use]
    pub const fn per_minute(asks: u32) -> Self {
        Self { per_minute: asks }
    }

    /// True when nothing is limited.
    #[must_use]
    pub const fn is_off(self) -> bool {
        self.per_minute == 0
    }

    /// The time one ask takes from the allowance.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }

    /// How far the theoretical arrival time may lie ahead: one minute less one interval.
    #[must_use]
    pub fn tolerance(self) -> Duration {
        self.interval() * (self.per_minute.max(1) - 1)
    }

    /// One step of GCRA. `ahead` is how far the stored theoretical arrival time lies ahead of now, zero when it is past
    /// or unknown. Gives the new distance when the ask is allowed.
    ///
    /// # Errors
    /// The time to wait, when it is not.
    pub fn step(self, ahead: Duration) -> Result<Duration, Duration> {
        match ahead.checked_sub(self.tolerance()) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(ahead + self.interval()),
        }
    }
}

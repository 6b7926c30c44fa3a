//! What can carry a permit while it streams.

use crate::answer::Answer;

/// A response that may go on after it was given: it keeps a guard for as long.
///
/// The guard is dropped with what ends the response (the terminal event, the last frame, an error), at the end, or when
/// the response is dropped.
pub trait Hold {
    /// Keeps `guard` until the end.
    #[must_use]
    fn hold<G: Send + Unpin + 'static>(self, guard: G) -> Self;
}

impl Hold for Answer {
    fn hold<G: Send + Unpin + 'static>(self, guard: G) -> Self {
        Self::hold(self, guard)
    }
}

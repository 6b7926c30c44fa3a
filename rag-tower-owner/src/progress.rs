//! Progress of long steps on stderr: bars on a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);
/// Steps shorter than this say nothing where nobody watches.
const WORTH_A_LINE: Duration = Duration::from_millis(300);

/// One step that is shown while it runs. Dropping it clears it from the terminal.
pub(crate) struct Step {
    bar: ProgressBar,
    what: Cow<'static, str>,
    began: Instant,
    watched: bool,
}

// === impl Step ===

impl Step {
    /// A step without a known end.
    pub(crate) fn spinner(what: impl Into<Cow<'static, str>>) -> Self {
        let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self::new(ProgressBar::no_length().with_style(style), what.into())
    }

    /// A step of so many parts.
    pub(crate) fn bar(what: impl Into<Cow<'static, str>>, parts: u64) -> Self {
        let style = ProgressStyle::with_template("  {spinner} {msg} [{bar:30}] {pos}/{len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        Self::new(ProgressBar::new(parts).with_style(style), what.into())
    }

    fn new(bar: ProgressBar, what: Cow<'static, str>) -> Self {
        let watched = std::io::stderr().is_terminal();
        bar.set_draw_target(if watched {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        bar.set_message(what.clone());
        bar.enable_steady_tick(TICK);
        Self { bar, what, began: Instant::now(), watched }
    }

    /// One part more.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// So many parts more.
    pub(crate) fn advance_by(&self, parts: u64) {
        self.bar.inc(parts);
    }

    /// The step is over.
    pub(crate) fn done(self) {
        let took = self.began.elapsed();
        if !self.watched && took >= WORTH_A_LINE {
            // nowhere is left to say that this could not be said
            let _ = writeln!(std::io::stderr(), "{} ({:.1} s)", self.what, took.as_secs_f64());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! A job for the engine in, what came of it out.

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Stage};

/// Threads of the store's own, a few. The engine waits for disks and locks, so it may not work where requests are served.
///
/// Searches do not queue behind other things that a program does on its runtime's blocking pool, and fewer threads take them by
/// turns, so that what a thread has in its caches is used again.
pub(super) struct Threads(Option<Runtime>);

// === impl Threads ===

impl Threads {
    /// At most so many at once. Each is started when it is needed, and ends after a while without work.
    pub(super) fn new(most: usize) -> Result<Self, Error> {
        // of this runtime, which nothing drives, only the pool for blocking work is used
        let runtime =
            Builder::new_current_thread().max_blocking_threads(most).thread_name("vector-index").build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|error| Error::internal(Stage::Ingest, error))
    }

    /// Runs a job. One that has begun goes on to its end when this future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
        stage: Stage,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.0 else { return Err(Error::internal(stage, "the index is closed")) };
        runtime.spawn_blocking(job).await.map_err(|error| Error::internal(stage, error))?
    }
}

impl Drop for Threads {
    /// Waits for nothing: the last that has these threads may be a job on one of them, or a task of any runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

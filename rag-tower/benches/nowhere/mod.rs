//! What the benchmarks of traces begin with: a writer on a thread of its own, over a store that drops its rows.

use std::sync::OnceLock;
use std::time::Duration;

use rag_tower::BoxError;
use rag_tower::trace::{TraceRow, TraceSink, TraceStore, WriterConfig, spawn_writer};
use tokio::runtime::Runtime;

/// The server's, see `rag-tower-owner`: rows are made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The thread of the trace writer.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    })
}

struct Nowhere;

impl TraceStore for Nowhere {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        divan::black_box(rows.len());
        Ok(())
    }
}

/// A queue that is never full.
pub(crate) fn config() -> WriterConfig {
    WriterConfig::default().queue(1 << 20).batch(1024).linger(Duration::from_millis(1))
}

/// Where rows go to be dropped.
pub(crate) fn sink(config: WriterConfig) -> TraceSink {
    let (sink, _writer) = spawn_writer(Nowhere, config);
    sink
}

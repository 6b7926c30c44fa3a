//! Trace rows in a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rag_tower::BoxError;
use rag_tower::trace::{TraceRow, TraceStore};

/// A [`TraceStore`] that appends each row to a file as a line of JSON.
#[derive(Clone, Debug)]
pub struct FileTraces(Arc<Mutex<File>>);

// === impl FileTraces ===

impl FileTraces {
    /// Appends to the file of that name, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be opened. It blocks for that, which is for the start of a program.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }
}

impl TraceStore for FileTraces {
    /// All or nothing: what a failed write has left is cut off, so that the writer may try the same rows
    /// again.
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row)?;
            lines.push(b'\n');
        }
        let file = Arc::clone(&self.0);
        let write = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let before = file.metadata()?.len();
            file.write_all(&lines).and_then(|()| file.sync_data()).or_else(|error| {
                file.set_len(before)?;
                Err(error)
            })
        };
        Ok(tokio::task::spawn_blocking(write).await??)
    }
}

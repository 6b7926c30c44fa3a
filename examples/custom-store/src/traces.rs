//! Trace rows in a file.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rag_tower::trace::{TraceRow, TraceStore};
use rag_tower::{AskId, BoxError};
use serde::Deserialize;

/// A [`TraceStore`] that appends each row to a file as a line of JSON, once: it knows the ids of all that are in it.
#[derive(Clone, Debug)]
pub struct FileTraces(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    file: File,
    ids: HashSet<AskId>,
}

/// As much of a line as is read.
#[derive(Deserialize)]
struct Line {
    trace_id: AskId,
}

// === impl FileTraces ===

impl FileTraces {
    /// Appends to the file of that name, which is made if need be. What a crash has left of a line is cut off: nobody was
    /// told that it was written.
    ///
    /// # Errors
    /// When it cannot be opened, or holds something else. It blocks for that, which is for the start of a program.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let ids = lines.map(|line| Ok(serde_json::from_slice::<Line>(line)?.trace_id));
        let ids = ids.collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(Mutex::new(Written { file, ids }))))
    }
}

impl TraceStore for FileTraces {
    /// All or nothing: what a failed write has left is cut off, so that the writer may try the same rows
    /// again.
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        let (rows, written) = (rows.to_vec(), Arc::clone(&self.0));
        let write = move || written.lock().unwrap_or_else(PoisonError::into_inner).append(&rows);
        Ok(tokio::task::spawn_blocking(write).await??)
    }
}

// === impl Written ===

impl Written {
    fn append(&mut self, rows: &[TraceRow]) -> io::Result<()> {
        let Self { file, ids } = self;
        let (mut lines, mut new) = (Vec::new(), HashSet::new());
        for row in rows {
            if !ids.contains(&row.trace_id) && new.insert(row.trace_id) {
                serde_json::to_writer(&mut lines, row)?;
                lines.push(b'\n');
            }
        }
        let before = file.metadata()?.len();
        file.write_all(&lines).and_then(|()| file.sync_data()).or_else(|error| {
            file.set_len(before)?;
            Err(error)
        })?;
        ids.extend(new);
        Ok(())
    }
}

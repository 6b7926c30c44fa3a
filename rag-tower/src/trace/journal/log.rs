//! What the journal knows of its files, under its lock: rows in, places out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::files;
use super::record::{Draft, Part};
use crate::trace::TraceRow;

/// A file that has grown this far is followed by a new one.
const FILE_BYTES: u64 = 8 * 1024 * 1024;

/// The state of a journal. Nothing here waits, but for the one write of [`append`](Self::append).
#[derive(Debug)]
pub(super) struct Log {
    pub(super) dir: PathBuf,
    /// The most that all files may hold together.
    limit: u64,
    bytes: u64,
    files: BTreeMap<u64, Known>,
    open: Option<(u64, Arc<File>)>,
    /// An empty file, made ahead so that no row waits for it.
    spare: Option<(u64, Arc<File>)>,
    next_file: u64,
    next_row: u64,
    pub(super) to_do: ToDo,
}

/// What is left to the thread of the journal.
#[derive(Debug, Default)]
pub(super) struct ToDo {
    /// Files whose rows are all in the store.
    pub(super) remove: Vec<u64>,
    /// Files that are no longer appended to, and may not be on disk yet.
    pub(super) sync: Vec<Arc<File>>,
    /// The open file has rows that may not be on disk yet.
    pub(super) sync_open: bool,
    /// Who waits for that.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    pub(super) spare: bool,
    pub(super) stop: bool,
}

/// One file.
#[derive(Debug, Default)]
struct Known {
    bytes: u64,
    /// Rows that are not known to be in the store.
    left: u64,
    /// Some rows are nowhere else: the writer has to read the file.
    behind: bool,
    /// How far it has done so.
    read: u64,
}

/// Rows of the oldest file that has to be read.
#[derive(Debug)]
pub(in crate::trace) struct Chunk {
    pub(in crate::trace) rows: Vec<TraceRow>,
    /// Whole records that are no row of this version.
    pub(in crate::trace) strange: Vec<Vec<u8>>,
    /// Places that could not be read.
    pub(in crate::trace) torn: usize,
    file: u64,
    records: u64,
    end: u64,
    last: bool,
}

// === impl Log ===

impl Log {
    /// Files that are there already are to be read: each with its length and the number of its rows.
    pub(super) fn new(dir: PathBuf, limit: u64, found: &[(u64, u64, u64)], next_row: u64) -> Self {
        let known = |bytes, left| Known { bytes, left, behind: true, read: 0 };
        Self {
            dir,
            limit,
            bytes: found.iter().map(|(_, bytes, _)| bytes).sum(),
            files: found.iter().map(|(file, bytes, rows)| (*file, known(*bytes, *rows))).collect(),
            open: None,
            spare: None,
            next_file: found.last().map_or(1, |(last, ..)| last + 1),
            next_row,
            to_do: ToDo { spare: true, ..ToDo::default() },
        }
    }

    /// Appends a record, and says to which file.
    pub(super) fn append(&mut self, draft: &mut Draft) -> io::Result<u64> {
        let full = self.open.as_ref().is_some_and(|(file, _)| self.is_full(*file));
        if full {
            self.to_do.spare = self.spare.is_none();
            // without a spare one it grows until there is one
            if self.spare.is_some() {
                self.close();
            }
        }
        if self.bytes + draft.len() > self.limit {
            return Err(io::Error::new(ErrorKind::QuotaExceeded, "the journal has reached its limit"));
        }
        let (file, handle) = match self.open.take() {
            Some(open) => open,
            None => self.next()?,
        };
        let mut output = &*handle;
        let known = self.files.entry(file).or_default();
        let written = output.write_all(draft.numbered(self.next_row));
        if written.is_ok() {
            self.next_row += 1;
            known.bytes += draft.len();
            known.left += 1;
            self.bytes += draft.len();
            self.to_do.sync_open = true;
        } else {
            // Half a record may be there. Where it cannot be taken back, readers pass over it.
            let _cut = handle.set_len(known.bytes);
        }
        self.open = Some((file, handle));
        written.map(|()| file)
    }

    fn is_full(&self, file: u64) -> bool {
        let most = FILE_BYTES.min(self.limit / 8);
        self.files.get(&file).is_some_and(|known| known.bytes >= most)
    }

    /// The file to append to next.
    fn next(&mut self) -> io::Result<(u64, Arc<File>)> {
        if let Some(spare) = self.spare.take() {
            self.to_do.spare = true;
            return Ok(spare);
        }
        let number = self.number();
        Ok((number, Arc::new(files::create(&self.dir, number)?)))
    }

    /// A number for a new file.
    pub(super) fn number(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }

    /// Takes an empty file for later; one that came too late is not needed.
    pub(super) fn keep_spare(&mut self, number: u64, file: File) {
        let late = self.open.as_ref().is_some_and(|(open, _)| *open > number);
        if late || self.spare.is_some() {
            self.to_do.remove.push(number);
        } else {
            self.spare = Some((number, Arc::new(file)));
        }
    }

    /// The most that all files may hold together, from here on.
    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    #[cfg(test)]
    pub(super) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Appends to this file from here on, in place of the open one.
    #[cfg(test)]
    pub(super) fn replace_open(&mut self, file: Arc<File>) -> Option<Arc<File>> {
        self.open.as_mut().map(|(_, open)| std::mem::replace(open, file))
    }

    pub(super) fn open_file(&self) -> Option<Arc<File>> {
        self.open.as_ref().map(|(_, file)| Arc::clone(file))
    }

    /// Nothing more is appended to the open file.
    fn close(&mut self) {
        let Some((file, handle)) = self.open.take() else { return };
        if self.to_do.sync_open {
            self.to_do.sync.push(handle);
            self.to_do.sync_open = false;
        }
        self.remove_if_settled(file);
    }

    /// One row of the file is in the store.
    pub(super) fn settle(&mut self, file: u64) {
        if let Some(known) = self.files.get_mut(&file) {
            known.left = known.left.saturating_sub(1);
            self.remove_if_settled(file);
        }
    }

    /// A row of the file is nowhere else.
    pub(super) fn leave(&mut self, file: u64) {
        if let Some(known) = self.files.get_mut(&file) {
            known.behind = true;
        }
    }

    /// True when all rows of the file are read from it, or have been.
    pub(super) fn is_left(&self, file: u64) -> bool {
        self.files.get(&file).is_none_or(|known| known.behind)
    }

    /// The oldest file that has to be read, and from where. It is no longer appended to.
    pub(super) fn oldest_left(&mut self) -> Option<(u64, u64)> {
        let (file, from) =
            self.files.iter().find(|(_, known)| known.behind).map(|(file, known)| (*file, known.read))?;
        if self.open.as_ref().is_some_and(|(open, _)| *open == file) {
            self.close();
        }
        Some((file, from))
    }

    /// The rows of a chunk are in the store.
    pub(super) fn replayed(&mut self, chunk: &Chunk) {
        if chunk.last {
            return self.remove(chunk.file);
        }
        if let Some(known) = self.files.get_mut(&chunk.file) {
            known.read = chunk.end;
            known.left = known.left.saturating_sub(chunk.records);
        }
    }

    /// Forgets a file that cannot be read. It stays where it is; the next start tries it again.
    pub(super) fn set_aside(&mut self, file: u64) {
        if let Some(known) = self.files.remove(&file) {
            self.bytes -= known.bytes;
        }
    }

    /// Rows that only the files have, and the bytes of all files.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let rows = self.files.values().filter(|known| known.behind).map(|known| known.left).sum();
        (rows, self.bytes)
    }

    /// Leaves no file behind that nobody needs. The next row makes a new one.
    pub(super) fn tidy(&mut self) {
        if self.open.as_ref().is_some_and(|(file, _)| self.is_settled(*file)) {
            self.close();
        }
        if let Some((number, _)) = self.spare.take() {
            self.to_do.remove.push(number);
        }
        self.to_do.spare = false;
    }

    fn is_settled(&self, file: u64) -> bool {
        self.files.get(&file).is_none_or(|known| known.left == 0 && !known.behind)
    }

    fn remove_if_settled(&mut self, file: u64) {
        let open = self.open.as_ref().is_some_and(|(open, _)| *open == file);
        if !open && self.is_settled(file) {
            self.remove(file);
        }
    }

    fn remove(&mut self, file: u64) {
        self.set_aside(file);
        self.to_do.remove.push(file);
    }
}

// === impl Chunk ===

impl Chunk {
    pub(super) fn new(file: u64, part: Part) -> Self {
        let Part { rows, strange, torn, records, end, last } = part;
        Self { rows, strange, torn, file, records, end, last }
    }
}

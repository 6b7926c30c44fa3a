//! Rows on disk while their store is away.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::TraceRow;

/// A bounded directory of rows, one JSON object per line, oldest file first.
///
/// Each append is on disk (`fdatasync`) before it counts. Rows are read back in the order they came, and a file is
/// removed when all its rows have been written to the store; after a crash in between, they are written again, which
/// changes nothing because writing is idempotent. A line that a crash has cut off is skipped and counted.
///
/// Its files hold what people asked and were answered: directory and files are readable by their owner only.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    /// Held for as long as the spool is: two processes must not replay the same files.
    _lock: File,
    max_bytes: u64,
    files: VecDeque<Segment>,
    /// The newest file, while it is open for appending.
    open: Option<File>,
    /// How far the oldest file has been replayed.
    offset: u64,
    rows: u64,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
}

/// Rows at the front of the spool.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) rows: Vec<TraceRow>,
    /// Lines that are no row.
    pub(super) torn: usize,
    count: u64,
    end: u64,
    last_of_file: bool,
}

/// A file that has grown this far is followed by a new one.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

const SUFFIX: &str = "jsonl";

// === impl Spool ===

impl Spool {
    /// Opens the spool in `dir`, which is made when missing, with at most `max_bytes` of rows; what an earlier run has
    /// left is replayed first. Blocks: call it before the server serves.
    ///
    /// # Errors
    /// When the directory cannot be made, read or written, or another process has it open.
    pub fn open(dir: impl Into<PathBuf>, max_bytes: u64) -> io::Result<Self> {
        let dir = dir.into();
        make_dir(&dir)?;
        let lock = private().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                ErrorKind::ResourceBusy,
                format!(
                    "the spool {} is in use by another process: give each process its own",
                    dir.display()
                ),
            ),
            TryLockError::Error(error) => error,
        })?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if number(&path).is_some() {
                files.push(Segment { bytes: fs::metadata(&path)?.len(), path });
            }
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let next = files.last().and_then(|last| number(&last.path)).map_or(1, |last| last + 1);
        let mut rows = 0;
        for file in &files {
            rows += lines(&file.path)?;
        }
        Ok(Self { dir, _lock: lock, max_bytes, files: files.into(), open: None, offset: 0, rows, next })
    }

    /// Rows that wait.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// True when no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Appends rows, as many as there is room for, and says how many.
    ///
    /// # Errors
    /// When they cannot be written. None of them is kept then.
    pub(super) fn append(&mut self, rows: &[TraceRow]) -> io::Result<usize> {
        let room = self.max_bytes.saturating_sub(self.files.iter().map(|file| file.bytes).sum());
        let (mut text, mut fit) = (Vec::new(), 0);
        for row in rows {
            let before = text.len();
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
            if text.len() as u64 > room {
                text.truncate(before);
                break;
            }
            fit += 1;
        }
        if fit == 0 {
            return Ok(0);
        }
        let mut file = match self.open.take() {
            Some(file) if self.files.back().is_some_and(|newest| newest.bytes < SEGMENT_BYTES) => file,
            _ => self.create()?,
        };
        let Some(newest) = self.files.back_mut() else {
            return Err(io::Error::other("the spool has no file"));
        };
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
            // Half a line may be there. Where it cannot be taken back, it is skipped as torn: the file stays closed.
            if file.set_len(newest.bytes).is_ok() && newest.bytes == 0 {
                let _gone = self.files.pop_back().map(|empty| fs::remove_file(empty.path));
            }
            return Err(error);
        }
        newest.bytes += text.len() as u64;
        self.open = Some(file);
        self.rows += fit as u64;
        Ok(fit)
    }

    /// The next rows to write to the store, at most `limit`; none when the spool is empty. They stay until
    /// [`advance`](Self::advance).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn peek(&mut self, limit: usize) -> io::Result<Option<Chunk>> {
        let Some(oldest) = self.files.front() else { return Ok(None) };
        if self.files.len() == 1 {
            // Rows that come meanwhile go to a file of their own, so that this one can end.
            self.open = None;
        }
        let mut file = File::open(&oldest.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = BufReader::new(file);
        let (mut chunk, mut line) = (Chunk { end: self.offset, ..Chunk::default() }, Vec::new());
        while chunk.rows.len() < limit.max(1) {
            line.clear();
            let read = lines.read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            chunk.end += read as u64;
            match (line.ends_with(b"\n"), serde_json::from_slice(&line)) {
                (true, Ok(row)) => chunk.rows.push(row),
                _ => chunk.torn += 1,
            }
        }
        chunk.count = chunk.rows.len() as u64;
        chunk.last_of_file = lines.fill_buf()?.is_empty();
        Ok(Some(chunk))
    }

    /// Takes a chunk off the front: its rows are in the store.
    ///
    /// # Errors
    /// When a file that is done with cannot be removed. Its rows would be written again after a restart, which
    /// changes nothing.
    pub(super) fn advance(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.offset = chunk.end;
        self.rows = self.rows.saturating_sub(chunk.count);
        if !chunk.last_of_file {
            return Ok(());
        }
        self.offset = 0;
        if self.files.len() == 1 {
            self.rows = 0;
        }
        self.files.pop_front().map_or(Ok(()), |done| fs::remove_file(done.path))
    }

    fn create(&mut self) -> io::Result<File> {
        let path = self.dir.join(format!("{:020}.{SUFFIX}", self.next));
        let file = private().append(true).create_new(true).open(&path)?;
        self.next += 1;
        self.files.push_back(Segment { path, bytes: 0 });
        // The name must survive a crash as the rows do.
        File::open(&self.dir)?.sync_all()?;
        Ok(file)
    }
}

/// The number in a file's name, when it is one of ours.
fn number(path: &Path) -> Option<u64> {
    (path.extension()? == SUFFIX).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

/// The whole lines of a file.
fn lines(path: &Path) -> io::Result<u64> {
    let (mut file, mut buffer, mut lines) = (File::open(path)?, vec![0; 64 * 1024], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

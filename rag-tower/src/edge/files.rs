//! The index's directory: who holds it, what wrote it, and what may be thrown away before it is opened.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Stage};
use crate::locked::Locked;

/// How an index was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// As it was left: what was flushed is there.
    Loaded,
    /// Empty, because there was none. Every document has to be written to it.
    Created,
    /// Empty, because what was there was made by another version, for other vectors, or cannot be read. Every document
    /// has to be written to it.
    Rebuilt,
}

/// The locked directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: Locked,
}

/// How the marker's line with the length of the vectors begins.
pub(super) const DIMENSIONS: &str = "dimensions ";

// === impl Directory ===

impl Directory {
    /// Makes the directory when there is none, and locks it until the value is dropped or the process ends.
    pub(super) fn lock(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(failed(path))?;
        let file = path.join("LOCK");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(failed(path))?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(failed(path)(error)),
        }
        let lock = Locked(lock);
        let write = |mut lock: &File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write(&lock.0).map_err(failed(path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the engine keeps its files.
    pub(super) fn shard(&self) -> PathBuf {
        self.path.join("shard")
    }

    /// Refuses when the disk has less room than this, in bytes. A disk that does not say how much it has is trusted.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), Error> {
        match fs4::available_space(&self.path) {
            Ok(room) if room < bytes => Err(Error::new(ErrorKind::StoreUnavailable, Stage::Ingest).with_message(format!(
                "the disk of the vector index is full: {} MB are free and {} are needed to write to it; free some and try \
                 again",
                room >> 20,
                bytes >> 20
            ))),
            _ => Ok(()),
        }
    }

    /// The size of the engine's files.
    pub(super) fn bytes(&self) -> u64 {
        self.files().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Reads the vectors once, one file after the other, so that the system has them in memory and the first searches do not
    /// wait for them piece by piece. What cannot be read is left to the engine to find out.
    pub(super) fn warm(&self) {
        let vectors =
            |path: &Path| path.iter().any(|part| part.to_string_lossy().starts_with("vector_storage"));
        for (path, _) in self.files().iter().filter(|(path, _)| vectors(path)) {
            let _ = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
        }
    }

    /// The engine's files and their sizes.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let (mut open, mut files) = (vec![self.shard()], Vec::new());
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => open.push(entry.path()),
                    Ok(meta) => files.push((entry.path(), meta.len())),
                    Err(_) => {}
                }
            }
        }
        files
    }

    /// Compares what wrote the index with `marker`, and empties the directory where they differ. An index for vectors of
    /// another length is refused instead, unless it may be `emptied`.
    pub(super) fn prepare(&self, marker: &str, emptied: bool) -> Result<Opened, Error> {
        let found = match fs::read_to_string(self.path.join("INDEX")) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&self.path)(error)),
        };
        if let Some(had) = found.as_deref().and_then(dimensions)
            && let Some(wanted) = dimensions(marker)
            && had != wanted
            && !emptied
        {
            return Err(Error::invalid(
                Stage::Ingest,
                format!(
                    "the vector index in {} holds vectors of {had} numbers and the embedder makes {wanted}: go back \
                     to the embedder that made it, or embed every document again with `rag-tower-owner reindex`",
                    self.path.display()
                ),
            ));
        }
        if !emptied && found.as_deref() == Some(marker) && self.shard().is_dir() {
            self.tidy().map_err(failed(&self.path))?;
            return Ok(Opened::Loaded);
        }
        let had = self.shard().exists();
        self.clear(marker)?;
        Ok(if had { Opened::Rebuilt } else { Opened::Created })
    }

    /// Throws the index away and notes what will write the next one. The note comes first: a crash between the two
    /// leaves a note without an index, which is rebuilt.
    pub(super) fn clear(&self, marker: &str) -> Result<(), Error> {
        let clear = || {
            if self.shard().exists() {
                fs::remove_dir_all(self.shard())?;
            }
            fs::write(self.path.join("INDEX"), marker)?;
            fs::create_dir_all(self.shard())
        };
        clear().map_err(failed(&self.path))
    }

    /// Removes what an interrupted optimisation left, and the log of operations that are in the segments: the engine
    /// does not replay it and never shortens it. The newest closed part stays, since it continues the numbering.
    fn tidy(&self) -> io::Result<()> {
        let temporary = self.shard().join("temp_segments");
        if temporary.exists() {
            fs::remove_dir_all(temporary)?;
        }
        let log = self.shard().join("wal");
        if !log.is_dir() {
            return Ok(());
        }
        let mut closed = Vec::new();
        for entry in fs::read_dir(log)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("closed-")?.parse::<u64>().ok());
            closed.extend(number.map(|number| (number, entry.path())));
        }
        closed.sort_unstable();
        closed.pop();
        closed.into_iter().try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// The length of the vectors, from a marker.
fn dimensions(marker: &str) -> Option<&str> {
    marker.lines().find_map(|line| line.strip_prefix(DIMENSIONS))
}

fn held(path: &Path, lock: &mut File) -> Error {
    let mut holder = String::new();
    let known = lock.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
    let who = if known { format!("process {}", holder.trim()) } else { "another process".to_owned() };
    Error::new(ErrorKind::StoreUnavailable, Stage::Ingest).with_message(format!(
        "the vector index in {} is in use by {who}: stop it, or choose another directory",
        path.display()
    ))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| {
        Error::store(Stage::Ingest, error).with_message(format!(
            "the vector index in {} cannot be opened: check that the directory can be written and the disk is not full",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::lock(dir.path()).unwrap();
        let refused = Directory::lock(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        assert!(Directory::lock(dir.path()).is_ok());
    }

    #[test]
    fn another_marker_empties_it_and_the_same_one_tidies_it() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::lock(dir.path()).unwrap();
        assert_eq!(directory.prepare("one", false).unwrap(), Opened::Created);
        let wal = directory.shard().join("wal");
        fs::create_dir_all(&wal).unwrap();
        fs::create_dir_all(directory.shard().join("temp_segments/x")).unwrap();
        for name in ["closed-0", "closed-90", "closed-100", "open-1"] {
            fs::write(wal.join(name), "").unwrap();
        }
        assert_eq!(directory.prepare("one", false).unwrap(), Opened::Loaded);
        let mut left: Vec<_> = fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["closed-100", "open-1"]);
        assert!(!directory.shard().join("temp_segments").exists());

        assert_eq!(directory.prepare("two", false).unwrap(), Opened::Rebuilt);
        assert!(!wal.exists());
        assert_eq!(directory.prepare("two", true).unwrap(), Opened::Rebuilt);
    }

    #[test]
    fn a_disk_without_room_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::lock(dir.path()).unwrap();
        assert!(directory.has_room(1).is_ok());
        let refused = directory.has_room(u64::MAX).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StoreUnavailable);
        assert!(refused.to_string().contains("is full"), "{refused}");
        fs::create_dir_all(directory.shard().join("segments")).unwrap();
        fs::write(directory.shard().join("segments/one"), [0; 10]).unwrap();
        fs::write(directory.shard().join("two"), [0; 5]).unwrap();
        assert_eq!(directory.bytes(), 15);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Directory::lock(&file.join("index")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StoreUnavailable);
        assert!(refused.to_string().contains("file"), "{refused}");
    }
}

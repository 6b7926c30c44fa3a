//! The files of a journal: their names, and that nobody else can read them.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::locked::Locked;

const SUFFIX: &str = "rows";
/// A process that is just ending lets go of the directory within this.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// Takes the directory for this process: two must not append to, or replay, the same files.
pub(super) fn lock(dir: &Path) -> io::Result<Locked> {
    let lock = private().write(true).create(true).truncate(false).open(dir.join("lock"))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Locked(lock)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let dir = dir.display();
                let said =
                    format!("the journal {dir} is in use by another process: give each process its own");
                return Err(io::Error::new(ErrorKind::ResourceBusy, said));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{SUFFIX}"))
}

/// The files that are there, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        numbers.extend(number(&entry?.path()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn create(dir: &Path, number: u64) -> io::Result<File> {
    private().append(true).create_new(true).open(path(dir, number))
}

/// Makes the names of new files survive a power failure.
pub(super) fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The number in a file's name, when it is one of ours.
fn number(path: &Path) -> Option<u64> {
    (path.extension()? == SUFFIX).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(unix)]
pub(super) fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
pub(super) fn private() -> OpenOptions {
    OpenOptions::new()
}

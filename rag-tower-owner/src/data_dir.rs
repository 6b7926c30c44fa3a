//! The data directory: a path in, a folder that is there, writable and held by one process out.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held while a process uses the directory; names it, and says how the command line reaches it; mode 0600 |
//! | `secrets.toml` | made at the first start, mode 0600 |
//! | `postgres/` | the private cluster |
//! | `vectors/` | the vector index of the engine in process |
//! | `journal/` | trace rows, from the end of their answer until they are in Postgres |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Secret;
use crate::failure::Failure;
use crate::locked::Locked;

/// What is written to find out whether there is room: enough for a first write of every file that is made at a start.
const PROBE: usize = 64 * 1024;

/// A directory that is there and can be written.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// The directory, held by this process until this is dropped.
#[derive(Debug)]
pub struct DataLock(Locked);

/// Who has the directory.
#[derive(Debug)]
pub(crate) enum Holder {
    /// This process, until the lock is dropped.
    This(DataLock),
    /// A server that can be spoken to, and which process it is.
    Server(Announced, String),
    /// Another process, in its own words.
    Other(String),
}

/// How the command line reaches the server that has the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What signs the operator's tokens, made anew at each start.
    pub(crate) key: Secret,
}

// === impl DataDir ===

impl DataDir {
    /// Makes the directory when it is missing, and checks that it can be written.
    ///
    /// # Errors
    /// [`Failure`] says what is in the way: a file of that name, missing rights, a read-only or a full disk.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        // root's directory can be passed through by the user that Postgres runs as; everything in it is private
        let mode = if nix::unistd::Uid::effective().is_root() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| refused(path, &error))?;
        let path = path.canonicalize().map_err(|error| refused(path, &error))?;
        let probe = path.join(format!(".probe-{}", std::process::id()));
        let written = File::create(&probe)
            .and_then(|mut file| file.write_all(&[0; PROBE]).and_then(|()| file.sync_all()));
        let removed = std::fs::remove_file(&probe);
        written.and(removed).map_err(|error| refused(&path, &error))?;
        Ok(Self(path))
    }

    /// Takes the directory for this process, which is doing `what`.
    ///
    /// # Errors
    /// [`Failure`] names the process that has it.
    pub fn lock(&self, what: &str) -> Result<DataLock, Failure> {
        match self.take(what)? {
            Holder::This(lock) => Ok(lock),
            Holder::Server(_, who) | Holder::Other(who) => Err(self.held(&who)),
        }
    }

    /// As [`lock`](Self::lock); a directory that another process has is no failure yet.
    pub(crate) fn take(&self, what: &str) -> Result<Holder, Failure> {
        let path = self.0.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| refused(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Ok(Holder::of(&holder));
            }
            Err(TryLockError::Error(error)) => return Err(refused(&path, &error)),
        }
        // what a process that was killed left in the file says nothing about this one
        let locked = Locked(file);
        let mut file = &locked.0;
        file.set_len(0)
            .and_then(|()| writeln!(file, "process {} ({what})", std::process::id()))
            .map_err(|error| refused(&path, &error))?;
        Ok(Holder::This(DataLock(locked)))
    }

    /// Why there is nothing to be done while `who` has the directory.
    pub(crate) fn held(&self, who: &str) -> Failure {
        let who = if who.is_empty() { "another process" } else { who };
        Failure::new(format!("the data directory {} is in use by {who}", self.0.display())).mend(
            "Stop that process first, or give this one a directory and ports of its own:\n  \
             RAG_TOWER_DATA=/tmp/other RAG_TOWER_ADDR=127.0.0.1:8081 RAG_TOWER_METRICS_ADDR=127.0.0.1:9465 rag-tower-owner",
        )
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the private cluster is.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    /// Where the vector index is.
    #[must_use]
    pub fn vectors(&self) -> PathBuf {
        self.0.join("vectors")
    }

    /// Where trace rows are until they are in Postgres.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

// === impl DataLock ===

impl DataLock {
    /// Says in the file how the command line reaches this process. It is forgotten with the lock: the next holder
    /// begins the file anew, and without a holder nobody reads it.
    pub(crate) fn announce(&self, server: &Announced) -> Result<(), Failure> {
        let text = format!("{}\n{}\n", server.address, server.key.expose());
        (&self.0.0)
            .write_all(text.as_bytes())
            .map_err(|error| Failure::because("the lock of the data directory cannot be written", &error))
    }
}

// === impl Holder ===

impl Holder {
    /// Who wrote this: a line with a name, and for a server that is up its address and its key.
    fn of(text: &str) -> Self {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let who = lines.next().unwrap_or_default().to_owned();
        match (lines.next().and_then(|address| address.parse().ok()), lines.next()) {
            (Some(address), Some(key)) => Self::Server(Announced { address, key: Secret::new(key) }, who),
            _ => Self::Other(who),
        }
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => {
            "Give this user the right to write there, or set RAG_TOWER_DATA to a directory that it may write."
        }
        ErrorKind::ReadOnlyFilesystem => {
            "That disk is read-only. Set RAG_TOWER_DATA to a directory on one that is not."
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "Free some space, or set RAG_TOWER_DATA to a directory on another disk. About 1 GB is a good start."
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "Something else has that name. Move it away, or set RAG_TOWER_DATA to another directory."
        }
        _ => "Set RAG_TOWER_DATA to a directory that can be written.",
    };
    Failure::new(format!("the data directory {path} cannot be used: {error}")).mend(mend)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn makes_the_directory_private_and_leaves_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
        assert_eq!(std::fs::metadata(data.path()).unwrap().permissions().mode() & 0o066, 0);
    }

    #[test]
    fn a_second_holder_is_told_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let lock = data.lock("serve").unwrap();
        let said = data.lock("serve").unwrap_err().to_string();
        assert!(said.contains(&format!("process {} (serve)", std::process::id())), "{said}");
        drop(lock);
        assert!(data.lock("ingest").is_ok());
    }

    #[test]
    fn a_server_says_how_to_reach_it_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let lock = data.lock("serve").unwrap();
        let server = Announced { address: "127.0.0.1:81".parse().unwrap(), key: Secret::new("k3y") };
        lock.announce(&server).unwrap();
        let mode = std::fs::metadata(dir.path().join("lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(data.take("ask").unwrap(), Holder::Server(found, _) if found == server));
        let said = data.lock("serve").unwrap_err().to_string();
        assert!(said.contains("(serve)") && !said.contains("k3y"), "{said}");
        drop(lock);
        let next = data.lock("ingest").unwrap();
        assert!(matches!(data.take("ask").unwrap(), Holder::Other(who) if who.contains("(ingest)")));
        drop(next);
    }

    #[test]
    fn half_an_announcement_is_none() {
        for text in ["process 1 (serve)\n127.0.0.1:81\nk3", "process 1 (serve)\n127.0.0.1:8", "", "x"] {
            assert!(matches!(Holder::of(text), Holder::Other(_)), "{text}");
        }
    }

    #[test]
    fn a_file_in_the_way_is_named_with_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let said = DataDir::open(&path).unwrap_err().to_string();
        assert!(said.contains("cannot be used") && said.contains("RAG_TOWER_DATA"), "{said}");
    }
}

//! The folder of a private cluster: a path in, folders with the right owners, a lock and passwords out.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};

use super::ClusterError;
use super::run_as::RunAs;
use crate::locked::Locked;

/// A unix socket path holds at most 107 bytes, of which `/.s.PGSQL.5432` takes 14.
const LONGEST_SOCKET_FOLDER: usize = 107 - 14;
/// The log starts anew when it is larger than this, in bytes.
const LARGEST_LOG: u64 = 10 * 1024 * 1024;

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
    pub(super) log: PathBuf,
}

// === impl Layout ===

impl Layout {
    /// Where everything of a folder that is there would be.
    pub(super) fn of(folder: &Path) -> Result<Self, ClusterError> {
        let folder = folder.canonicalize().map_err(|source| ClusterError::io(folder, source))?;
        let run = socket_folder(&folder);
        Ok(Self { data: folder.join("data"), log: folder.join("postgres.log"), run, folder })
    }

    /// Makes the folders, checks that Postgres can reach them, and gives it the one for the socket.
    pub(super) fn make(folder: &Path, run_as: Option<&RunAs>) -> Result<Self, ClusterError> {
        std::fs::create_dir_all(folder).map_err(|source| ClusterError::io(folder, source))?;
        let folder = folder.canonicalize().map_err(|source| ClusterError::io(folder, source))?;
        if let Some(run_as) = run_as {
            run_as.check_reach(&folder)?;
        }
        let layout = Self::of(&folder)?;
        private_folder(&layout.run, run_as)?;
        Ok(layout)
    }

    /// Keeps the folder for this process until the file is dropped.
    pub(super) fn lock(&self) -> Result<Locked, ClusterError> {
        let path = self.folder.join("lock");
        let io = |source| ClusterError::io(&path, source);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(ClusterError::Held {
                    folder: self.folder.clone(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let locked = Locked(file);
        let mut file = &locked.0;
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(locked)
    }

    /// The password in a file of this name; made when there is none, or none that is whole.
    pub(super) fn secret(&self, name: &str) -> Result<String, ClusterError> {
        let path = self.folder.join(name);
        let io = |source| ClusterError::io(&path, source);
        if let Ok(text) = std::fs::read_to_string(&path)
            && text.trim().len() == 64
        {
            return Ok(text.trim().to_owned());
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|error| io(error.into()))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        // whole or not there: a torn password would lock us out of the cluster for ever
        let fresh = path.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io)?;
        file.write_all(password.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&fresh, &path).map_err(io)?;
        Ok(password)
    }

    /// The major version of the cluster in `data`; `None` when there is no cluster.
    pub(super) fn major(&self) -> Result<Option<u32>, ClusterError> {
        let path = self.data.join("PG_VERSION");
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                ClusterError::io(
                    &path,
                    std::io::Error::other(format!("not a Postgres version: {:?}", text.trim())),
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClusterError::io(path, error)),
        }
    }

    /// An empty folder for `initdb`, owned by whom Postgres runs as.
    pub(super) async fn fresh_data(&self, run_as: Option<&RunAs>) -> Result<PathBuf, ClusterError> {
        let fresh = self.folder.join("data.new");
        if let Err(error) = tokio::fs::remove_dir_all(&fresh).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(ClusterError::io(fresh, error));
        }
        private_folder(&fresh, run_as)?;
        Ok(fresh)
    }

    /// A file with the password that the account of Postgres can read, for `initdb --pwfile`.
    pub(super) async fn password_file(
        &self,
        password: &str,
        run_as: Option<&RunAs>,
    ) -> Result<PathBuf, ClusterError> {
        let path = self.run.join("initdb.password");
        let io = |source| ClusterError::io(&path, source);
        let _ = tokio::fs::remove_file(&path).await;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
        file.write_all(password.as_bytes()).map_err(io)?;
        if let Some(run_as) = run_as {
            chown(&path, Some(run_as.uid), Some(run_as.gid)).map_err(io)?;
        }
        Ok(path)
    }

    /// The log, open for appending.
    pub(super) fn log_file(&self) -> Result<File, ClusterError> {
        let large = self.log.metadata().is_ok_and(|meta| meta.len() > LARGEST_LOG);
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        let file = file.map_err(|source| ClusterError::io(&self.log, source))?;
        if large {
            file.set_len(0).map_err(|source| ClusterError::io(&self.log, source))?;
        }
        Ok(file)
    }

    /// The last few lines of the log.
    pub(super) fn log_tail(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            let length = file.metadata().map_or(0, |meta| meta.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(2000)));
            let mut bytes = Vec::new();
            let _ = file.read_to_end(&mut bytes);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}

/// `run` inside the folder when a socket path fits, else a folder in the temporary one whose name follows from it.
fn socket_folder(folder: &Path) -> PathBuf {
    let inside = folder.join("run");
    if inside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        return inside;
    }
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("rag-tower-{name}"))
}

/// A folder of mode 0700 that belongs to whom Postgres runs as. One that belongs to somebody else is refused: in a
/// shared temporary folder it could be a trap.
fn private_folder(path: &Path, run_as: Option<&RunAs>) -> Result<(), ClusterError> {
    let io = |source| ClusterError::io(path, source);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let meta = path.symlink_metadata().map_err(io)?;
            let ours = [Some(Uid::effective().as_raw()), run_as.map(|run_as| run_as.uid)];
            if !meta.is_dir() || !ours.contains(&Some(meta.uid())) {
                return Err(io(std::io::Error::other("exists and is not a folder of ours: remove it")));
            }
        }
        Err(error) => return Err(io(error)),
    }
    if let Some(run_as) = run_as {
        chown(path, Some(run_as.uid), Some(run_as.gid)).map_err(io)?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)
}

/// The machine's memory in MB, where it can be read.
pub(super) fn memory_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_folder_gets_a_short_socket() {
        let short = Path::new("/var/lib/rag-tower/postgres");
        assert_eq!(socket_folder(short), short.join("run"));
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        assert!(socket_folder(&long).as_os_str().len() <= LONGEST_SOCKET_FOLDER);
        assert_ne!(socket_folder(&long), socket_folder(&long.join("y")));
    }
}

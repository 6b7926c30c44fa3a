//! What can stop a private Postgres from running, each with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the private Postgres does not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// No usable Postgres is installed.
    NoBinaries {
        /// The major version that the data needs, when there is data.
        needs: Option<u32>,
        /// Where it was looked for, and which versions were found there.
        looked: String,
    },
    /// Another process uses the folder.
    Held {
        /// The folder.
        folder: PathBuf,
        /// Its process id, when it wrote one.
        pid: Option<u32>,
    },
    /// The folder cannot be reached by the user that Postgres must run as.
    Unreachable {
        /// The part of the path that stops it.
        at: PathBuf,
        /// The user.
        user: String,
    },
    /// The process runs as root and there is no other user to run Postgres as.
    NoUser,
    /// `initdb` failed.
    Initialise {
        /// The folder.
        folder: PathBuf,
        /// What it said.
        said: String,
    },
    /// Postgres did not come up.
    Start {
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        said: String,
    },
    /// Postgres did not stop.
    Stop {
        /// Its process id.
        pid: u32,
    },
    /// A program could not be started.
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be made, read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A fault of ours.
    Internal(String),
}

// === impl ClusterError ===

impl ClusterError {
    pub(super) fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    pub(super) fn spawn(program: PathBuf, source: io::Error) -> Self {
        Self::Spawn { program, source }
    }

    pub(super) fn internal(what: impl fmt::Display) -> Self {
        Self::Internal(what.to_string())
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinaries { needs: None, looked } => write!(
                f,
                "no Postgres found ({looked}): `apt install postgresql`, or set DATABASE_URL to a server you have"
            ),
            Self::NoBinaries { needs: Some(major), looked } => write!(
                f,
                "the data folder was made by Postgres {major}, which was not found ({looked}): \
                 `apt install postgresql-{major}`, or move the data with pg_upgrade"
            ),
            Self::Held { folder, pid: Some(pid) } => {
                write!(f, "{} is in use by process {pid}: stop it, or choose another folder", folder.display())
            }
            Self::Held { folder, pid: None } => {
                write!(f, "{} is in use by another process: stop it, or choose another folder", folder.display())
            }
            Self::Unreachable { at, user } => write!(
                f,
                "Postgres does not run as root, and user `{user}` cannot enter {}: choose a data folder outside of it, \
                 such as /var/lib/rag-tower, or run the server as a normal user",
                at.display()
            ),
            Self::NoUser => f.write_str(
                "Postgres does not run as root, and neither `postgres` nor `nobody` exists: `adduser --system postgres`, \
                 or run the server as a normal user",
            ),
            Self::Initialise { folder, said } => write!(f, "initdb failed in {}: {said}", folder.display()),
            Self::Start { log, said } => write!(f, "Postgres did not start; the end of {}: {said}", log.display()),
            Self::Stop { pid } => write!(f, "Postgres (process {pid}) did not stop"),
            Self::Spawn { program, source } => write!(f, "{} could not be started: {source}", program.display()),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

impl std::error::Error for ClusterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn { source, .. } | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

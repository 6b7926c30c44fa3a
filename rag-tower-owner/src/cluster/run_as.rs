//! Whom Postgres runs as: nobody special for a normal user, another account when the server runs as root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, User};

use super::ClusterError;

/// The account for Postgres when the server runs as root.
#[derive(Clone, Debug)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
    name: String,
}

// === impl RunAs ===

impl RunAs {
    /// `None` for a normal user; `postgres`, else `nobody`, for root.
    pub(super) fn choose() -> Result<Option<Self>, ClusterError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }))
            .ok_or(ClusterError::NoUser)
    }

    #[cfg(test)]
    pub(super) fn new(uid: u32, gid: u32, name: &str) -> Self {
        Self { uid, gid, name: name.to_owned() }
    }

    /// Checks that this account may enter every folder of `path`, which is absolute.
    pub(super) fn check_reach(&self, path: &Path) -> Result<(), ClusterError> {
        for folder in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let meta = folder.metadata().map_err(|source| ClusterError::io(folder, source))?;
            let mode = meta.permissions().mode();
            let enters = match (meta.uid() == self.uid, meta.gid() == self.gid) {
                (true, _) => mode & 0o100,
                (false, true) => mode & 0o010,
                (false, false) => mode & 0o001,
            };
            if enters == 0 {
                return Err(ClusterError::Unreachable { at: folder.to_owned(), user: self.name.clone() });
            }
        }
        Ok(())
    }
}

//! Finds an installed Postgres: a major version in, a folder with `initdb` and `postgres` out.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// The oldest major version that the schema is made for.
const OLDEST: u32 = 14;

/// A folder of Postgres programs.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
}

// === impl Binaries ===

impl Binaries {
    /// The binaries of exactly `major`, or the newest when there is no data yet. Blocks: it asks each for its version.
    pub(super) fn find(major: Option<u32>) -> Result<Self, ClusterError> {
        Self::choose(candidates().into_iter().filter_map(|folder| Some((version(&folder)?, folder))), major)
    }

    fn choose(found: impl Iterator<Item = (u32, PathBuf)>, major: Option<u32>) -> Result<Self, ClusterError> {
        let found: Vec<_> = found.collect();
        found
            .iter()
            .filter(|(version, _)| major.map_or(*version >= OLDEST, |major| *version == major))
            .max_by_key(|(version, _)| *version)
            .map(|(_, folder)| Self { folder: folder.clone() })
            .ok_or_else(|| ClusterError::NoBinaries {
                needs: major,
                looked: if found.is_empty() {
                    "looked on PATH and in /usr/lib/postgresql/*/bin".into()
                } else {
                    let versions: Vec<_> = found.iter().map(|(version, _)| version.to_string()).collect();
                    format!("found version {}, and {OLDEST} is the oldest that will do", versions.join(", "))
                },
            })
    }

    /// The path of one program.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Folders that hold both programs: those on PATH first, then where packages put them.
fn candidates() -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let packaged = ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"]
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = on_path.unwrap_or_default().into_iter().chain(packaged).collect();
    folders.retain(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()));
    folders
}

/// The major version that `folder/postgres --version` reports.
fn version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian …)`, `… 17beta1` or `… 16`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.split(") ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn takes_the_newest_or_exactly_what_the_data_needs() {
        let found = || [(13, "/a".into()), (15, "/b".into()), (16, "/c".into())].into_iter();
        assert_eq!(Binaries::choose(found(), None).unwrap().folder, Path::new("/c"));
        assert_eq!(Binaries::choose(found(), Some(15)).unwrap().folder, Path::new("/b"));
        assert!(Binaries::choose(found(), Some(17)).unwrap_err().to_string().contains("postgresql-17"));
        let old = Binaries::choose([(9, "/a".into())].into_iter(), None).unwrap_err().to_string();
        assert!(old.contains("found version 9"), "{old}");
        let none = Binaries::choose(std::iter::empty(), None).unwrap_err().to_string();
        assert!(none.contains("apt install postgresql") && none.contains("DATABASE_URL"), "{none}");
    }
}

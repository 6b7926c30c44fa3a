//! A copy of the workspace with exact changes in it: what would be, had a line of defence not been written.
//!
//! Such code is never behind a switch in what is shipped, where it could be switched on. It exists only in the copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is not copied: what builds made, and the history.
const LEFT_OUT: [&str; 3] = ["target", ".git", "screenshots"];

/// One change of one file. Its text must occur there exactly once: code that has changed meanwhile fails the change, instead of
/// leaving it out.
#[derive(Clone, Copy, Debug)]
pub struct Patch<'a> {
    /// The file, from the root of the workspace.
    pub file: &'a str,
    /// What is there.
    pub old: &'a str,
    /// What is to be there instead.
    pub new: &'a str,
}

/// The root of the workspace that this was compiled in.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// Copies a source tree into a folder, which is made. Symbolic links stay such.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

// === impl Patch ===

impl Patch<'_> {
    /// Makes the change in the copy at `root`.
    ///
    /// # Errors
    /// What is wrong with it: the file cannot be read or written, or has the text not once but never or several times.
    pub fn apply(&self, root: &Path) -> Result<(), String> {
        let path = root.join(self.file);
        let failed = |error: io::Error| format!("{}: {error}", self.file);
        let text = fs::read_to_string(&path).map_err(failed)?;
        match text.matches(self.old).count() {
            1 => fs::write(&path, text.replacen(self.old, self.new, 1)).map_err(failed),
            n => Err(format!("{} has this {n} times, not once:\n{}", self.file, self.old)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_once_or_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(from.join("target")).unwrap();
        fs::write(from.join("src/a.rs"), "one two two").unwrap();
        std::os::unix::fs::symlink("src", from.join("link")).unwrap();
        copy(&from, &to).unwrap();
        assert!(!to.join("target").exists());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("src"));

        let change = |old, new| Patch { file: "src/a.rs", old, new }.apply(&to);
        change("one", "three").unwrap();
        assert_eq!(fs::read_to_string(to.join("src/a.rs")).unwrap(), "three two two");
        assert!(change("one", "three").unwrap_err().contains("0 times"));
        assert!(change("two", "three").unwrap_err().contains("2 times"));
        assert!(Patch { file: "src/b.rs", old: "", new: "" }.apply(&to).is_err());
        assert_eq!(fs::read_to_string(from.join("src/a.rs")).unwrap(), "one two two");
    }
}

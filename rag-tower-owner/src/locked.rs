//! A file that was locked in, a lock that ends when it is let go of out.

use std::fs::File;

/// A locked file. Dropping it unlocks it in so many words.
///
/// To close the file is not enough: a program that is being started beside, by whichever thread, has every open file of
/// this process until it is the program, and the lock would last as long (flock(2)).
#[derive(Debug)]
pub(crate) struct Locked(pub(crate) File);

// === impl Locked ===

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_free_once_dropped_whoever_has_the_file_open_as_well() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let open = || File::options().write(true).open(&path).unwrap();
        let file = open();
        file.try_lock().unwrap();
        // what a child has between fork and exec
        let inherited = file.try_clone().unwrap();
        let locked = Locked(file);
        open().try_lock().unwrap_err();
        drop(locked);
        open().try_lock().unwrap();
        drop(inherited);
    }
}

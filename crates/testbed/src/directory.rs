//! A private directory that does not outlive its owner. In: what it is for. Out: a path. Does not talk to the cluster.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};

use crate::cgroup::Cgroup;

const PREFIX: &str = "telemetry-operator-testbed.";
const LOCK: &str = "owner.lock";

/// A directory only for this user, removed when the value is dropped. Where a killed process left one behind, the next
/// [`Directory::create`] removes it.
pub struct Directory {
    path: PathBuf,
    /// Held while the owner lives; the kernel gives the lock back however it dies.
    _owner: Option<File>,
    released: bool,
}

impl Directory {
    /// A new directory in the system's directory for temporary files.
    pub fn create(purpose: &str) -> Result<Directory> {
        Directory::sweep();
        let parent = env::temp_dir();
        let mut number = 0u32;
        let path = loop {
            let path = parent.join(format!("{PREFIX}{purpose}.{}.{number}", process::id()));
            match private().create(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        };
        // Under its final name the file is never seen without a lock, so a sweep cannot take it in between.
        let unlocked = path.join("owner.new");
        let owner = File::create(&unlocked)?;
        owner.lock()?;
        fs::rename(unlocked, path.join(LOCK))?;
        Ok(Directory { path, _owner: Some(owner), released: false })
    }

    /// Removes what killed processes, and those that keep a cluster to their end, have left behind.
    pub fn sweep() {
        sweep(&env::temp_dir());
    }

    /// A new directory at `path`, for things that stay when this process ends.
    pub(crate) fn create_at(path: PathBuf) -> Result<Directory> {
        private().recursive(true).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Directory { path, _owner: None, released: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the directory outlive this value.
    pub(crate) fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if let Err(error) = remove_if_present(&self.path) {
            eprintln!("testbed: {error:#}");
        }
    }
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Removes directories whose owner is gone. What cannot be removed belongs to another user, or is being removed by
/// another process.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let abandoned = File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if abandoned {
            // A node's processes have ended with their owner, its control groups stay. While these cannot be removed, the
            // directory is what the next sweep finds them by.
            if Cgroup::of(&entry.path()).remove().is_ok() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Removes a directory tree, which may be absent.
pub(crate) fn remove_if_present(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_private_and_goes_with_its_owner() {
        // A name of its own: another test may take a free one at once.
        let directory = Directory::create("private").unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("file"), "text").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn an_abandoned_directory_is_swept_and_a_used_one_stays() {
        let used = Directory::create("test").unwrap();
        let abandoned = env::temp_dir().join(format!("{PREFIX}abandoned.{}", process::id()));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let unfinished = env::temp_dir().join(format!("{PREFIX}unfinished.{}", process::id()));
        fs::create_dir(&unfinished).unwrap();
        sweep(&env::temp_dir());
        assert!(used.path().exists());
        assert!(!abandoned.exists());
        assert!(unfinished.exists(), "a directory that is just being made was swept");
        fs::remove_dir(unfinished).unwrap();
    }
}

//! Files that are written whole or not at all. In: names and contents. Out: files in one directory, which belongs to one
//! process at a time. No network; every call blocks on the disk.
//!
//! Contents go to `.NAME.new` and to the disk before they take the name. What Letterboxd accepts is limited in size, so one
//! export may be several files; to change them together, `.STEM.commit` says that all new ones are complete, and whoever
//! opens the directory next finishes what it announces. Leftovers without it are removed.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = ".exporter.lock";
const NEW: &str = ".new";
const COMMIT: &str = ".commit";

/// Why a directory cannot be used, or a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Another process has it.
    #[error("{}: another exporter uses this directory; end it, or choose another directory", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: cannot {action}: {source}; a directory that this user may write to is needed", .path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory that only this process writes to.
#[derive(Debug)]
pub struct OwnedDirectory {
    path: PathBuf,
    /// The kernel gives the lock back however the process ends.
    _lock: File,
}

impl OwnedDirectory {
    /// Makes the directory if need be, takes it, and tidies up after a run that was killed.
    ///
    /// # Errors
    /// It cannot be made or written to, or another process has it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(path).map_err(system(path, "make it"))?;
        let lock = path.join(LOCK);
        let lock =
            File::options().create(true).append(true).open(&lock).map_err(system(&lock, "write it"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FileError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => system(path, "lock it")(source),
        })?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        directory.recover()?;
        Ok(directory)
    }

    /// Where a file of this name is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces one file.
    ///
    /// # Errors
    /// The system refuses; the old file stays.
    pub fn replace(&self, name: &str, contents: &[u8]) -> Result<(), FileError> {
        self.write_new(name, contents)?;
        self.rename_new(name)?;
        self.sync()
    }

    /// Replaces `STEM.csv`, `STEM-2.csv`, `STEM-3.csv`, … by these parts, and removes those that are not needed any more.
    /// Says what the files are called.
    ///
    /// # Errors
    /// The system refuses; the old files stay, or the next [`open`](Self::open) finishes the work.
    pub fn replace_parts(&self, stem: &str, parts: &[Vec<u8>]) -> Result<Vec<String>, FileError> {
        let names: Vec<_> = (1..=parts.len()).map(|number| part_name(stem, number)).collect();
        for (name, contents) in names.iter().zip(parts) {
            self.write_new(name, contents)?;
        }
        self.replace(&format!(".{stem}{COMMIT}"), parts.len().to_string().as_bytes())?;
        self.finish(stem, parts.len())?;
        Ok(names)
    }

    fn finish(&self, stem: &str, parts: usize) -> Result<(), FileError> {
        for name in (1..=parts).map(|number| part_name(stem, number)) {
            // Absent when a killed run got as far as this.
            if self.file(&format!(".{name}{NEW}")).exists() {
                self.rename_new(&name)?;
            }
        }
        let surplus = (parts + 1..).map(|number| self.file(&part_name(stem, number)));
        for path in surplus.take_while(|path| path.exists()) {
            remove(&path)?;
        }
        self.sync()?;
        remove(&self.file(&format!(".{stem}{COMMIT}")))
    }

    fn recover(&self) -> Result<(), FileError> {
        let names = self.hidden_names()?;
        for name in names.iter().filter(|name| name.ends_with(COMMIT)) {
            let stem = name.trim_start_matches('.').trim_end_matches(COMMIT);
            let path = self.file(name);
            let parts = fs::read_to_string(&path).map_err(system(&path, "read it"))?;
            match parts.parse() {
                Ok(parts) => self.finish(stem, parts)?,
                Err(_) => remove(&path)?,
            }
        }
        for name in self.hidden_names()?.iter().filter(|name| name.ends_with(NEW)) {
            remove(&self.file(name))?;
        }
        self.sync()
    }

    fn hidden_names(&self) -> Result<Vec<String>, FileError> {
        let entries = fs::read_dir(&self.path).map_err(system(&self.path, "list it"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with('.')).collect())
    }

    fn write_new(&self, name: &str, contents: &[u8]) -> Result<(), FileError> {
        let path = self.file(&format!(".{name}{NEW}"));
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(contents)?;
            file.sync_all()
        });
        written.map_err(|source| {
            // Whatever is left of it is removed by the next start at the latest.
            let _ = fs::remove_file(&path);
            system(&self.file(name), "write it")(source)
        })
    }

    fn rename_new(&self, name: &str) -> Result<(), FileError> {
        let path = self.file(name);
        fs::rename(self.file(&format!(".{name}{NEW}")), &path).map_err(system(&path, "replace it"))
    }

    /// A rename is on the disk only when its directory is.
    fn sync(&self) -> Result<(), FileError> {
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(system(&self.path, "sync it"))
    }
}

/// The first part has the plain name, so that it is always in the same place.
fn part_name(stem: &str, number: usize) -> String {
    match number {
        1 => format!("{stem}.csv"),
        _ => format!("{stem}-{number}.csv"),
    }
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(system(path, "remove it")(source)),
        _ => Ok(()),
    }
}

fn system(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError::System { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::Directory;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != LOCK && name != "owner.lock")
            .collect();
        names.sort();
        names
    }

    fn part(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn parts_replace_parts_and_surplus_ones_go() {
        let temporary = Directory::create("exporter").unwrap();
        let directory = OwnedDirectory::open(temporary.path()).unwrap();
        let written = directory.replace_parts("watched", &[part("1"), part("2"), part("3")]).unwrap();
        assert_eq!(written, ["watched.csv", "watched-2.csv", "watched-3.csv"]);
        directory.replace_parts("ratings", &[part("r")]).unwrap();
        directory.replace_parts("watched", &[part("one")]).unwrap();
        assert_eq!(names(temporary.path()), ["ratings.csv", "watched.csv"]);
        assert_eq!(fs::read_to_string(directory.file("watched.csv")).unwrap(), "one");
    }

    #[test]
    fn a_directory_has_one_owner() {
        let temporary = Directory::create("exporter").unwrap();
        let first = OwnedDirectory::open(temporary.path()).unwrap();
        let error = OwnedDirectory::open(temporary.path()).unwrap_err().to_string();
        assert!(error.contains("another exporter uses this directory"), "{error}");
        drop(first);
        OwnedDirectory::open(temporary.path()).unwrap();
    }

    /// Stops a replacement of three parts by two after each of its steps, as a kill does.
    #[test]
    fn parts_are_all_old_or_all_new_after_the_next_start_wherever_it_was_killed() {
        let old = [("watched-2.csv", "old 2"), ("watched-3.csv", "old 3"), ("watched.csv", "old 1")];
        let new = [("watched-2.csv", "new 2"), ("watched.csv", "new 1")];
        type Step = fn(&Path);
        let steps: [(Step, &[_]); 6] = [
            (|path| fs::write(path.join(".watched.csv.new"), "ne").unwrap(), &old),
            (
                |path| {
                    fs::write(path.join(".watched.csv.new"), "new 1").unwrap();
                    fs::write(path.join(".watched-2.csv.new"), "new 2").unwrap();
                },
                &old,
            ),
            (|path| fs::write(path.join("..watched.commit.new"), "").unwrap(), &old),
            (
                |path| {
                    fs::write(path.join(".watched.csv.new"), "new 1").unwrap();
                    fs::write(path.join(".watched-2.csv.new"), "new 2").unwrap();
                    fs::write(path.join(".watched.commit"), "2").unwrap();
                },
                &new,
            ),
            (
                |path| {
                    fs::write(path.join("watched.csv"), "new 1").unwrap();
                    fs::write(path.join(".watched-2.csv.new"), "new 2").unwrap();
                    fs::write(path.join(".watched.commit"), "2").unwrap();
                },
                &new,
            ),
            (
                |path| {
                    fs::write(path.join("watched.csv"), "new 1").unwrap();
                    fs::write(path.join("watched-2.csv"), "new 2").unwrap();
                    fs::write(path.join(".watched.commit"), "2").unwrap();
                },
                &new,
            ),
        ];
        for (number, (killed, expected)) in steps.into_iter().enumerate() {
            let temporary = Directory::create("exporter").unwrap();
            let path = temporary.path();
            let parts = [part("old 1"), part("old 2"), part("old 3")];
            OwnedDirectory::open(path).unwrap().replace_parts("watched", &parts).unwrap();
            killed(path);
            drop(OwnedDirectory::open(path).unwrap());
            let found: Vec<_> = names(path)
                .into_iter()
                .map(|name| (fs::read_to_string(path.join(&name)).unwrap(), name))
                .collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, text)| ((*text).to_owned(), (*name).to_owned())).collect();
            assert_eq!(found, expected, "after step {number}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_named() {
        let temporary = Directory::create("exporter").unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = OwnedDirectory::open(&file.join("out")).unwrap_err().to_string();
        assert!(error.contains("file/out: cannot make it: Not a directory"), "{error}");
    }
}

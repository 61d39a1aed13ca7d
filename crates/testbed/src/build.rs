//! Builds parts once and keeps them. In: parts. Out: paths in the cache directory. Does not talk to the cluster; `build::go`,
//! `build::debian` and `build::node` do the building and download what it takes.
//!
//! A finished part lies at `<cache>/bin/<name>-<key>/<name>`, a directory at `<cache>/bin/<name>-<key>`. The key is a hash of everything
//! that goes into it, so a changed input makes a new path and an old path never changes what it means. Work happens in `<cache>/build`;
//! a lock in `<cache>/locks` makes other processes wait for a build instead of repeating it. The cache may be deleted while no
//! named cluster is up.

mod debian;
mod go;
mod node;
mod progress;

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use self::progress::{Progress, Run};
use crate::daemon::log_tail;
use crate::directory::remove_if_present;
use crate::hash::sha256;
use crate::part::{Part, Recipe};

/// Where builds and named clusters are kept: `$TESTBED_CACHE`, else `telemetry-operator-testbed` in the user's cache directory.
pub(crate) fn cache_directory() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = match (set("TESTBED_CACHE"), set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(directory), _, _) => directory,
        (None, Some(caches), _) => caches.join("telemetry-operator-testbed"),
        (None, None, Some(home)) => home.join(".cache/telemetry-operator-testbed"),
        (None, None, None) => bail!("set TESTBED_CACHE: neither XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(absolute(directory)?)
}

/// The path of a part: a program, or a directory where the part is one. Built when it is missing.
pub fn path(part: Part) -> Result<PathBuf> {
    let plan = Plan::new(part, &cache_directory()?)?;
    make_missing(std::slice::from_ref(&plan))?;
    Ok(plan.result)
}

/// Builds those of `parts` that are missing or stale, and says so on standard error.
pub fn ensure(parts: &[Part]) -> Result<()> {
    let cache = cache_directory()?;
    let plans = parts.iter().map(|part| Plan::new(*part, &cache)).collect::<Result<Vec<_>>>()?;
    make_missing(&plans)
}

/// One part with everything decided but nothing done.
struct Plan {
    part: Part,
    recipe: Recipe,
    cache: PathBuf,
    key: String,
    result: PathBuf,
}

fn make_missing(plans: &[Plan]) -> Result<()> {
    let missing: Vec<_> = plans.iter().filter(|plan| !plan.result.exists()).collect();
    let parts: Vec<_> = missing.iter().map(|plan| plan.part).collect();
    let run = Run::start(&parts);
    for (number, plan) in missing.iter().enumerate() {
        plan.make(&run.part(number)).with_context(|| format!("cannot build {}", plan.part))?;
    }
    run.end();
    Ok(())
}

impl Plan {
    fn new(part: Part, cache: &Path) -> Result<Plan> {
        let recipe = part.recipe();
        let builder = match &recipe {
            Recipe::Program { module, .. } | Recipe::Files { module, .. } => go::version(part, module)?,
            Recipe::Debian { .. } => debian::release()?,
            Recipe::Node { .. } => node::version()?,
        };
        let key = key(part, &recipe, &builder);
        let kept = cache.join("bin").join(&key);
        let result = match recipe {
            Recipe::Program { .. } => kept.join(part.name()),
            Recipe::Files { .. } | Recipe::Debian { .. } | Recipe::Node { .. } => kept,
        };
        Ok(Plan { part, recipe, cache: cache.to_owned(), key, result })
    }

    fn make(&self, progress: &Progress) -> Result<()> {
        let _lock = lock(&self.cache, &self.key, || {
            progress.say("waiting for another process that builds");
        })?;
        if self.result.exists() {
            return Ok(());
        }
        progress.say("building");
        let work = self.cache.join("build").join(&self.key);
        remove_if_present(&work)?;
        fs::create_dir_all(&work)?;
        let steps = Steps { work: &work, progress };
        let made = match &self.recipe {
            Recipe::Program { module, source, tags, ldflags } => {
                go::program(&steps, module, source, tags, ldflags)?
            }
            Recipe::Files { module, of, directory } => go::files(&steps, module, of, directory)?,
            Recipe::Debian { packages, whole } => debian::tree(&steps, packages, *whole)?,
            Recipe::Node { files } => node::package(&steps, files)?,
        };
        let parent =
            self.result.parent().ok_or_else(|| anyhow!("{} has no parent", self.result.display()))?;
        fs::create_dir_all(parent)?;
        fs::rename(&made, &self.result)?;
        fs::remove_dir_all(&work)?;
        progress.done();
        Ok(())
    }
}

/// `<name>-<hash of all inputs>`. `builder` says which tools build it.
fn key(part: Part, recipe: &Recipe, builder: &str) -> String {
    let hash = sha256(format!("{builder}\n{recipe:?}").as_bytes());
    format!("{part}-{hash:.16}")
}

/// Holds the lock `name` until the file is dropped, or the process dies. Calls `waiting` when somebody else holds it.
pub(crate) fn lock(cache: &Path, name: &str, waiting: impl FnOnce()) -> Result<File> {
    let locks = cache.join("locks");
    fs::create_dir_all(&locks).with_context(|| format!("cannot make {}", locks.display()))?;
    let file = File::create(locks.join(name))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting();
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

/// The steps of one build, in a directory of their own.
struct Steps<'a> {
    work: &'a Path,
    progress: &'a Progress,
}

impl Steps<'_> {
    /// Runs a step with its output in a log file; when it fails, the error carries the end of the log.
    fn run(&self, command: &mut Command) -> Result<()> {
        let log = self.work.join("build.log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            self.progress.sign_of_life();
            sleep(Duration::from_millis(100));
        };
        if !status.success() {
            bail!("{command:?} ended with {status}; the log is {}:\n{}", log.display(), log_tail(&log));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_the_toolchain_and_differs_by_part() {
        let key = |part: &Part, builder| key(*part, &part.recipe(), builder);
        let keys: std::collections::BTreeSet<_> =
            Part::ALL.iter().flat_map(|part| [key(part, "go1.26.0"), key(part, "go1.26.1")]).collect();
        assert_eq!(keys.len(), 2 * Part::ALL.len());
        assert_eq!(key(&Part::Etcd, "go1.26.0"), key(&Part::Etcd, "go1.26.0"));
        assert!(key(&Part::Kubectl, "go1.26.0").starts_with("kubectl-"));
        assert_eq!(key(&Part::Kubectl, "go1.26.0").len(), "kubectl-".len() + 16);
    }
}

//! Builds parts once and keeps them. In: parts. Out: paths in the cache directory. Does not talk to the cluster; the Go
//! toolchain downloads modules and checks them against the committed `go.sum` files.
//!
//! A finished part lies at `<cache>/bin/<name>-<key>/<name>`. The key is a hash of everything that goes into it, so a
//! changed input makes a new path and an old path never changes what it means. Work happens in `<cache>/build`; a lock in
//! `<cache>/locks` makes other processes wait for a build instead of repeating it. The cache may be deleted while no named cluster is up.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::daemon::{log_tail, output};
use crate::directory::remove_if_present;
use crate::part::{Part, Recipe};

const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

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

/// The path of a part: a program, or a directory for [`Part::PrometheusOperatorCrds`]. Built when it is missing.
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
    cache: PathBuf,
    key: String,
    result: PathBuf,
}

fn make_missing(plans: &[Plan]) -> Result<()> {
    let missing: Vec<_> = plans.iter().filter(|plan| !plan.result.exists()).collect();
    for (done, plan) in missing.iter().enumerate() {
        plan.make(&format!("{} of {}", done + 1, missing.len()))
            .with_context(|| format!("cannot build {}", plan.part))?;
    }
    Ok(())
}

impl Plan {
    fn new(part: Part, cache: &Path) -> Result<Plan> {
        let key = key(part, &go_version(part)?);
        let kept = cache.join("bin").join(&key);
        let result = match part.recipe() {
            Recipe::Files { .. } => kept,
            Recipe::Command { .. } | Recipe::Generated { .. } => kept.join(part.name()),
        };
        Ok(Plan { part, cache: cache.to_owned(), key, result })
    }

    fn make(&self, progress: &str) -> Result<()> {
        let _lock = lock(&self.cache, &self.key, || {
            eprintln!("testbed: waiting for another process that builds {} ({progress})", self.part);
        })?;
        if self.result.exists() {
            return Ok(());
        }
        eprintln!("testbed: building {} ({progress})", self.part);
        let start = Instant::now();
        let work = self.cache.join("build").join(&self.key);
        remove_if_present(&work)?;
        fs::create_dir_all(&work)?;
        let module = self.part.module();
        fs::write(work.join("go.mod"), module.go_mod)?;
        fs::write(work.join("go.sum"), module.go_sum)?;
        let made = self.make_in(&work)?;
        let parent =
            self.result.parent().ok_or_else(|| anyhow!("{} has no parent", self.result.display()))?;
        fs::create_dir_all(parent)?;
        fs::rename(&made, &self.result)?;
        fs::remove_dir_all(&work)?;
        eprintln!("testbed: built {} in {} s", self.part, start.elapsed().as_secs());
        Ok(())
    }

    fn make_in(&self, work: &Path) -> Result<PathBuf> {
        let made = work.join("made");
        let build = |package: &str, ldflags: &str| {
            let mut command = go(work);
            command.args(["build", "-mod=readonly", "-trimpath", "-ldflags", ldflags, "-o"]);
            run(self.part, command.arg(&made).arg(package), work)
        };
        match self.part.recipe() {
            Recipe::Command { package, ldflags } => build(package, ldflags)?,
            Recipe::Generated { generator, manifest, ldflags } => {
                fs::write(work.join("manifest.yaml"), manifest)?;
                let mut generate = go(work);
                generate.args(["run", "-mod=readonly", generator, "--config", "manifest.yaml"]);
                // The committed go.mod stays: only the sources are generated.
                generate.args(["--skip-get-modules", "--skip-compilation", "--output-path", "."]);
                run(self.part, &mut generate, work)?;
                build(".", ldflags)?;
            }
            Recipe::Files { module, directory } => {
                let source = download(work, module)?.join(directory);
                fs::create_dir(&made)?;
                for entry in fs::read_dir(&source).with_context(|| source.display().to_string())? {
                    let file = entry?.path();
                    if let Some(name) = file.file_name().filter(|_| file.extension() == Some("yaml".as_ref()))
                    {
                        fs::write(made.join(name), fs::read(&file)?)?;
                    }
                }
            }
        }
        Ok(made)
    }
}

/// `<name>-<hash of all inputs>`.
fn key(part: Part, go_version: &str) -> String {
    let module = part.module();
    let recipe = match part.recipe() {
        Recipe::Command { package, ldflags } => [package, ldflags, ""],
        Recipe::Generated { generator, manifest, ldflags } => [generator, manifest, ldflags],
        Recipe::Files { module, directory } => [module, directory, ""],
    };
    let mut hash = Sha256::new();
    for input in [go_version, module.go_mod, module.go_sum].iter().chain(&recipe) {
        hash.update(input.len().to_le_bytes());
        hash.update(input);
    }
    format!("{}-{:x}", part, hash.finalize()).chars().take(part.name().len() + 1 + 16).collect()
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

fn go(directory: &Path) -> Command {
    let mut command = Command::new("go");
    // Programs must not depend on the C library, a surrounding workspace or a cross-compiling user's settings.
    command.current_dir(directory).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.env_remove("GOOS").env_remove("GOARCH").stdin(Stdio::null());
    command
}

/// The full version line of the toolchain, once it is known to be new enough for the part.
fn go_version(part: Part) -> Result<String> {
    let mut command = go(Path::new("/"));
    let answer = command.arg("version").output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "the testbed builds its parts with Go, and there is no `go` in PATH: install Go {} or newer",
            required_go(part.module().go_mod)
        ),
        _ => anyhow!("cannot run `go version`: {error}"),
    })?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let found = version.split(' ').nth(2).and_then(|word| word.strip_prefix("go")).unwrap_or_default();
    let required = required_go(part.module().go_mod);
    // An older toolchain from 1.21 on fetches the one that go.mod asks for, unless it was told not to.
    let fetches =
        numbers(found) >= numbers("1.21") && env::var_os("GOTOOLCHAIN").is_none_or(|it| it != "local");
    if numbers(found) < numbers(required) && !fetches {
        bail!("{part} needs Go {required} or newer, and `go version` says {version:?}");
    }
    Ok(version)
}

fn required_go(go_mod: &str) -> &str {
    go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).map_while(|digits| digits.parse().ok()).collect()
}

/// Runs a step of a build with its output in a log file; when it fails, the error carries the end of the log.
fn run(part: Part, command: &mut Command, work: &Path) -> Result<()> {
    let log = work.join("build.log");
    let file = File::options().create(true).append(true).open(&log)?;
    let start = Instant::now();
    let mut said = start;
    let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if said.elapsed() >= SIGN_OF_LIFE {
            said = Instant::now();
            eprintln!("testbed: still building {part}, {} s so far", start.elapsed().as_secs());
        }
        sleep(Duration::from_millis(100));
    };
    if !status.success() {
        bail!("{command:?} ended with {status}; the log is {}:\n{}", log.display(), log_tail(&log));
    }
    Ok(())
}

/// The directory of a downloaded module, which the Go toolchain has checked against `go.sum`.
fn download(work: &Path, module: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let answer = output(go(work).args(["mod", "download", "-json", module]))?;
    let downloaded: Downloaded = serde_json::from_str(&answer)?;
    Ok(downloaded.dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_the_toolchain_and_differs_by_part() {
        let keys: std::collections::BTreeSet<_> =
            Part::ALL.iter().flat_map(|part| [key(*part, "go1.26.0"), key(*part, "go1.26.1")]).collect();
        assert_eq!(keys.len(), 2 * Part::ALL.len());
        assert_eq!(key(Part::Etcd, "go1.26.0"), key(Part::Etcd, "go1.26.0"));
        assert!(key(Part::Kubectl, "go1.26.0").starts_with("kubectl-"));
        assert_eq!(key(Part::Kubectl, "go1.26.0").len(), "kubectl-".len() + 16);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.9.3") < numbers("1.26.0"));
        assert!(numbers("1.26rc1") < numbers("1.26.0"));
        assert!(numbers("") < numbers("1.21"));
        assert_eq!(required_go("module x\n\ngo 1.25.0\n"), "1.25.0");
    }
}

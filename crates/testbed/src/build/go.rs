//! Builds with the Go toolchain. In: a module of ours that pins everything. Out: a program, or files of a module. Does not talk to
//! the cluster; the toolchain downloads modules and checks them against the committed `go.sum` files.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use super::Steps;
use crate::daemon::output;
use crate::part::{Changed, Module, Part, Source};

/// Builds a program.
pub(super) fn program(
    steps: &Steps<'_>,
    module: &Module,
    source: &Source,
    tags: &str,
    ldflags: &str,
) -> Result<PathBuf> {
    let work = steps.work;
    write_module(work, module)?;
    let package = match source {
        Source::Command(package) => package,
        Source::Own(main) => {
            fs::write(work.join("main.go"), main)?;
            "."
        }
        Source::Generated { generator, manifest } => {
            fs::write(work.join("manifest.yaml"), manifest)?;
            let mut generate = go(work);
            generate.args(["run", "-mod=readonly", generator, "--config", "manifest.yaml"]);
            // The committed go.mod stays: only the sources are generated.
            generate.args(["--skip-get-modules", "--skip-compilation", "--output-path", "."]);
            steps.run(&mut generate)?;
            "."
        }
    };
    let made = work.join("made");
    let mut command = go(work);
    command.args(["build", "-mod=readonly", "-trimpath", "-tags", tags, "-ldflags", ldflags, "-o"]);
    steps.run(command.arg(&made).arg(package))?;
    Ok(made)
}

/// Copies the YAML files of a directory in the module `of`.
pub(super) fn files(steps: &Steps<'_>, module: &Module, of: &str, directory: &str) -> Result<PathBuf> {
    write_module(steps.work, module)?;
    let source = download(steps.work, of)?.join(directory);
    let made = steps.work.join("made");
    fs::create_dir(&made)?;
    for entry in fs::read_dir(&source).with_context(|| source.display().to_string())? {
        let file = entry?.path();
        if let Some(name) = file.file_name().filter(|_| file.extension() == Some("yaml".as_ref())) {
            copy_writable(&file, &made.join(name))?;
        }
    }
    Ok(made)
}

fn write_module(work: &Path, module: &Module) -> Result<()> {
    fs::write(work.join("go.mod"), module.go_mod)?;
    fs::write(work.join("go.sum"), module.go_sum)?;
    for (name, text) in module.beside {
        let file = work.join(name);
        fs::create_dir_all(file.parent().unwrap_or(work))?;
        fs::write(file, text)?;
    }
    match &module.changed {
        Some(changed) => change(work, module, changed),
        None => Ok(()),
    }
}

/// Builds with a copy of a module in which one file is ours. The toolchain has checked the module before it is copied; it does not
/// overlay files of its module cache.
fn change(work: &Path, module: &Module, changed: &Changed) -> Result<()> {
    let copy = work.join("changed");
    copy_directory(&download(work, changed.module)?, &copy)?;
    fs::write(copy.join(changed.file), changed.text)?;
    let replace = format!("{}\nreplace {} => ./changed\n", module.go_mod, changed.module);
    Ok(fs::write(work.join("go.mod"), replace)?)
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &copy)?;
        } else {
            copy_writable(&entry.path(), &copy)?;
        }
    }
    Ok(())
}

/// Files in the module cache are read-only, and a plain copy would be, too.
fn copy_writable(from: &Path, to: &Path) -> Result<()> {
    Ok(fs::write(to, fs::read(from)?)?)
}

fn go(directory: &Path) -> Command {
    let mut command = Command::new("go");
    // Programs must not depend on the C library, a surrounding workspace or a cross-compiling user's settings.
    command.current_dir(directory).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.env_remove("GOOS").env_remove("GOARCH").stdin(Stdio::null());
    command
}

/// The full version line of the toolchain, once it is known to be new enough for the part.
pub(super) fn version(part: Part, module: &Module) -> Result<String> {
    let required = required_go(module.go_mod);
    let mut command = go(Path::new("/"));
    let answer = command.arg("version").output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "the testbed builds its parts with Go, and there is no `go` in PATH: install Go {required} or newer"
        ),
        _ => anyhow!("cannot run `go version`: {error}"),
    })?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let found = version.split(' ').nth(2).and_then(|word| word.strip_prefix("go")).unwrap_or_default();
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
    fn versions_compare_by_number() {
        assert!(numbers("1.9.3") < numbers("1.26.0"));
        assert!(numbers("1.26rc1") < numbers("1.26.0"));
        assert!(numbers("") < numbers("1.21"));
        assert_eq!(required_go("module x\n\ngo 1.25.0\n"), "1.25.0");
    }
}

//! Unpacks Debian packages without installing them. In: names of packages. Out: one directory tree of them and of those that they need,
//! all of them or those that this machine lacks. Does not talk to the cluster; apt downloads the packages and verifies their signatures.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

use super::Steps;

/// The release whose packages they are. Fails where there is no apt.
pub(super) fn release() -> Result<String> {
    Command::new("apt-get").arg("--version").stdin(Stdio::null()).output().map_err(|error| {
        match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "the node's runc, nft and network plugins come from Debian packages, and there is no `apt-get` \
                 in PATH: use Debian or Ubuntu"
            ),
            _ => anyhow!("cannot run `apt-get --version`: {error}"),
        }
    })?;
    fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release to learn the Debian release")
}

/// Downloads packages and unpacks them.
pub(super) fn tree(steps: &Steps<'_>, packages: &[&str], whole: bool) -> Result<PathBuf> {
    let archives = steps.work.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--download-only", "--reinstall", "--no-install-recommends", "--yes"]);
        apt.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
        // Nothing on the machine changes, so neither its lock nor apt's own user, who cannot write here, is needed.
        if whole {
            // As on a machine on which nothing is installed.
            apt.args(["-o", "Dir::State::status=/dev/null"]);
        }
        apt.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]);
        steps.run(apt.args(packages).stdin(Stdio::null()))
    };
    if download().is_err() {
        // The lists of packages may be missing, or name versions that are no longer there.
        steps.run(Command::new("apt-get").arg("update").stdin(Stdio::null()))?;
        download()?;
    }
    let made = steps.work.join("made");
    fs::create_dir(&made)?;
    for entry in fs::read_dir(&archives)? {
        let file = entry?.path();
        if file.extension() == Some("deb".as_ref()) {
            steps.run(Command::new("dpkg").arg("-x").arg(&file).arg(&made).stdin(Stdio::null()))?;
        }
    }
    Ok(made)
}

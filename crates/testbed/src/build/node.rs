//! Gets npm packages. In: a package of ours that pins everything, with its programs. Out: a directory with them and what they need. Does
//! not talk to the cluster; npm downloads the packages and checks them against the committed `package-lock.json`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Steps;
use crate::daemon::output;

/// The first version of Node that has all that our programs use.
const REQUIRED: u32 = 20;

/// The version of Node. Fails where it is too old or missing.
pub(super) fn version() -> Result<String> {
    let version = output(Command::new("node").arg("--version").stdin(Stdio::null()))
        .with_context(|| format!("install Node {REQUIRED} or newer with npm"))?;
    let number = version.trim_start_matches('v').split('.').next().and_then(|text| text.parse().ok());
    ensure!(
        number.is_some_and(|number: u32| number >= REQUIRED),
        "Node {REQUIRED} or newer is needed, and `node --version` says {version}"
    );
    Ok(version)
}

/// Writes the files and gets the packages that they name. No package's own scripts run.
pub(super) fn package(steps: &Steps<'_>, files: &[(&str, &str)]) -> Result<PathBuf> {
    let made = steps.work.join("made");
    fs::create_dir(&made)?;
    for (name, text) in files {
        fs::write(made.join(name), text)?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&made).stdin(Stdio::null());
    steps.run(&mut npm)?;
    Ok(made)
}

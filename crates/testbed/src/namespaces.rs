//! A small machine of its own inside this one: network, mounts and processes that nobody else sees. In: a directory for
//! its log. Out: namespaces, and the way into them. Does not talk to the cluster.
//!
//! When the first process of a process namespace ends, the kernel ends all others. So nothing that runs inside, containers
//! included, outlives the [`Namespaces`], however they end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::{Daemon, Lifetime, Readiness, Setting};
use crate::identity::Identity;
use crate::inside::Inside;

const DEADLINE: Duration = Duration::from_secs(20);
const SCRIPT: &str = "namespaces.sh";
const SETUP: &str = include_str!("namespaces/setup.sh");

/// Namespaces that live until this value is dropped, or for a detached one until its first process is ended.
pub(crate) struct Namespaces {
    holder: Daemon,
    inside: Inside,
}

impl Namespaces {
    /// New namespaces with one network interface that has `address` (with prefix length).
    pub(crate) fn create(directory: &Path, address: &str, lifetime: Lifetime<'_>) -> Result<Namespaces> {
        let log = directory.join("namespaces.log");
        fs::write(&log, "")?;
        let script = directory.join(SCRIPT);
        fs::write(&script, SETUP)?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "--", "sh"]).arg(&script).arg(address);
        let mut ready = || Ok(fs::read_to_string(&log)?.lines().any(|line| line == "ready"));
        let what = "a network and mounts of its own";
        let readiness = Readiness::When { what, deadline: DEADLINE, check: &mut ready };
        let setting = Setting { lifetime, inside: None };
        let holder = Daemon::launch("namespaces", command, &log, readiness, setting)?;
        let children = Identity::children_of(holder.id());
        let init = *children.first().context("the namespaces have lost their first process")?;
        if let Lifetime::Detached { record } = lifetime {
            // In the place of the holder, which waits for it and does not listen to SIGTERM.
            fs::write(record, "")?;
            init.append_to(record)?;
        }
        Ok(Namespaces { holder, inside: Inside::of(init.pid()) })
    }

    /// Whether namespaces were made in this directory.
    pub(crate) fn are_in(directory: &Path) -> bool {
        directory.join(SCRIPT).exists()
    }

    /// The way in.
    pub(crate) fn inside(&self) -> Inside {
        self.inside
    }

    /// Ends everything inside.
    pub(crate) fn end(&mut self) -> Result<()> {
        // The first process goes with the holder (`unshare --kill-child`), and everything else with the first.
        self.holder.kill().map(drop)
    }

    /// Lets them outlive this value.
    pub(crate) fn release(&mut self) {
        self.holder.release();
    }
}

//! Which process is meant, even after its number was given to another. In: a process id, or a file of recorded
//! ones. Out: whether it lives, and its end. Does not talk to the cluster.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(15);

/// One process for certain: a process id may be given to another process later, together with the start time it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pid: u32,
    start_time: u64,
}

impl Identity {
    /// The process that has this id now, if there is one.
    pub(crate) fn of(pid: u32) -> Option<Identity> {
        start_time(pid).map(|start_time| Identity { pid, start_time })
    }

    /// The children of a process that are running.
    pub(crate) fn children_of(parent: u32) -> Vec<Identity> {
        let processes = fs::read_dir("/proc").into_iter().flatten();
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent))
            .filter_map(Identity::of)
            .collect()
    }

    /// The process id.
    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    /// Adds it to a record file.
    pub(crate) fn append_to(self, record: &Path) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(record)?;
        Ok(writeln!(file, "{}", serde_json::to_string(&self)?)?)
    }

    /// All identities in a record file; none when there is no file.
    pub(crate) fn recorded(record: &Path) -> Result<Vec<Identity>> {
        match fs::read_to_string(record) {
            Ok(text) => Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| record.display().to_string()),
        }
    }

    /// Whether it is still running.
    pub(crate) fn alive(self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }

    /// Ends the process at once if it still is the recorded one.
    pub(crate) fn kill(self) {
        if let Some(handle) = self.handle() {
            // A failure means that the process has just ended.
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }

    /// Ends the process if it still is the recorded one: SIGTERM, and SIGKILL after 15 s.
    pub(crate) fn end(self) -> Result<()> {
        let Some(handle) = self.handle() else {
            return Ok(());
        };
        for signal in [Signal::TERM, Signal::KILL] {
            // A failure means that the process has just ended.
            let _ = pidfd_send_signal(&handle, signal);
            let gone = wait_until("its end", PATIENCE, || Ok((!self.alive()).then_some(())));
            if gone.is_ok() {
                return Ok(());
            }
        }
        bail!("process {} survives SIGKILL", self.pid)
    }

    /// A handle of this process and no other; nothing when it has ended.
    fn handle(self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        // The handle stays with the process that has the id now, so a check after opening it cannot be overtaken.
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.alive().then_some(handle)
    }
}

/// When a process started, in clock ticks since the machine did; nothing for one that is gone or only waits to be reaped.
fn start_time(pid: u32) -> Option<u64> {
    let stat = stat(pid)?;
    (stat.state != "Z" && stat.state != "X").then_some(stat.start_time)
}

struct Stat {
    state: String,
    parent: u32,
    start_time: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything. Then: state (3rd), parent (4th) …
    // start time (22nd).
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{Daemon, Readiness};
    use crate::directory::Directory;
    use std::process::Command;

    #[test]
    fn only_the_recorded_process_is_ended() {
        let directory = Directory::create("identity").unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut daemon =
            Daemon::start("bystander", command, &directory.path().join("log"), Readiness::Spawned).unwrap();
        let real = Identity::of(daemon.id()).unwrap();
        let former = Identity { start_time: real.start_time - 1, ..real };
        assert!(!former.alive());
        former.end().unwrap();
        assert!(real.alive(), "a process with a reused id was ended");
        real.end().unwrap();
        assert!(!real.alive());
        daemon.kill().unwrap();
    }
}

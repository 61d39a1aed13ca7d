//! A child process with a log file and an end. In: a command and what makes it ready. Out: the running process, or an
//! error with what was waited for and the end of the log. Does not talk to the cluster; readiness checks may.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::identity::Identity;
use crate::inside::{Inside, copy_surroundings};
use crate::net::http_get;
use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(15);
const TAIL_LINES: usize = 20;

/// What [`Daemon::start`] waits for.
pub enum Readiness<'a> {
    /// A GET of `url` answers 200.
    Http {
        /// A loopback address.
        url: String,
        /// How long it may take.
        deadline: Duration,
    },
    /// `check` is true. Its errors mean "not yet", and the last one is part of the error.
    When {
        /// For the error: what is waited for.
        what: &'a str,
        /// How long it may take.
        deadline: Duration,
        /// Runs again and again.
        check: &'a mut dyn FnMut() -> Result<bool>,
    },
    /// The process was started; nothing else.
    Spawned,
}

/// How long a process may live.
#[derive(Clone, Copy)]
pub(crate) enum Lifetime<'a> {
    /// Not longer than this process, however that ends.
    Tied,
    /// Until somebody ends it. Its identity is added to the file at once, so that it can be found even when this process
    /// is interrupted.
    Detached { record: &'a Path },
}

/// Under what terms a process runs.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub lifetime: Lifetime<'a>,
    /// Where it runs; on this machine as it is when there are no namespaces.
    pub inside: Option<Inside>,
}

impl Setting<'_> {
    /// What `act` gives when its connections are made where the process runs.
    pub(crate) fn in_network<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        match self.inside {
            Some(inside) => inside.in_network(act),
            None => Ok(act()),
        }
    }
}

/// A running child process. Dropping it ends it; it ends, too, when this process is killed.
///
/// The second needs `setpriv` of util-linux, and is left out where there is none.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    released: bool,
}

impl Daemon {
    /// Starts `command` with its output appended to `log`, and waits until it is ready. The command's arguments,
    /// environment changes and directory count; its standard streams and a cleared environment do not.
    ///
    /// An `Http` readiness is true for whoever answers at that port, so let the command fail when it cannot bind.
    pub fn start(name: &str, command: Command, log: &Path, readiness: Readiness<'_>) -> Result<Daemon> {
        let setting = Setting { lifetime: Lifetime::Tied, inside: None };
        Daemon::launch(name, command, log, readiness, setting)
    }

    pub(crate) fn launch(
        name: &str,
        command: Command,
        log: &Path,
        readiness: Readiness<'_>,
        setting: Setting<'_>,
    ) -> Result<Daemon> {
        let output =
            File::options().create(true).append(true).open(log).with_context(|| format!("{name}: log"))?;
        let errors = output.try_clone()?;
        let streams = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
        };
        let child = match (setting.inside, setting.lifetime) {
            // Nothing inside outlives the namespaces, so nothing else has to tie it.
            (Some(inside), _) => inside.spawn(&command, |command| {
                streams(command);
                command.process_group(0);
            })?,
            (None, lifetime) => {
                let mut command = command;
                match lifetime {
                    Lifetime::Tied => command = dying_with_parent(&command).unwrap_or(command),
                    Lifetime::Detached { .. } => drop(command.process_group(0)),
                }
                streams(&mut command);
                let program = command.get_program().to_owned();
                spawn(command).with_context(|| format!("{name}: cannot run {}", program.display()))?
            }
        };
        let mut daemon = Daemon { name: name.to_owned(), child, log: log.to_owned(), released: false };
        if let Lifetime::Detached { record } = setting.lifetime {
            // One that has ended already has nothing to record; the wait reports it.
            if let Some(identity) = Identity::of(daemon.child.id()) {
                identity.append_to(record)?;
            }
        }
        daemon.wait(readiness)?;
        Ok(daemon)
    }

    fn wait(&mut self, readiness: Readiness<'_>) -> Result<()> {
        let mut over_http;
        let (what, deadline, check): (_, _, &mut dyn FnMut() -> Result<bool>) = match readiness {
            Readiness::Http { url, deadline } => {
                let what = format!("200 from {url}");
                over_http = move || match http_get(&url)? {
                    (200, _) => Ok(true),
                    (status, body) => bail!("{status}: {}", body.trim()),
                };
                (what, deadline, &mut over_http)
            }
            Readiness::When { what, deadline, check } => (what.to_owned(), deadline, check),
            Readiness::Spawned => return Ok(()),
        };
        let (name, child) = (&self.name, &mut self.child);
        wait_until(&format!("{name}: {what}"), deadline, || match child.try_wait()? {
            Some(status) => {
                Ok(Some(Err(anyhow!("{name} ended with {status} while it was waited for: {what}"))))
            }
            None => Ok(check()?.then_some(Ok(()))),
        })
        .flatten()
        .map_err(|error| anyhow!("{error:#}\nend of {}:\n{}", self.log.display(), log_tail(&self.log)))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with everything that the process wrote.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How the process ended, if it did; does not wait.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks the process to end (SIGTERM), insists after 15 s (SIGKILL), and says how it ended.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let child = &mut self.child;
        match wait_until("the end of the process", PATIENCE, || Ok(child.try_wait()?)) {
            Ok(status) => Ok(status),
            Err(_) => self.kill(),
        }
    }

    /// Ends the process at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Lets the process outlive this value.
    pub(crate) fn release(&mut self) {
        self.released = true;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if let Err(error) = self.terminate() {
            eprintln!("testbed: cannot end {} (process {}): {error:#}", self.name, self.child.id());
        }
    }
}

/// The same command, killed by the kernel when its parent dies; nothing where `setpriv` cannot do that.
fn dying_with_parent(command: &Command) -> Option<Command> {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    let setpriv = || {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--pdeathsig", "KILL", "--"]);
        setpriv
    };
    let available = *AVAILABLE.get_or_init(|| {
        let mut probe = setpriv();
        probe.arg("true").stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !available {
        return None;
    }
    let mut tied = setpriv();
    tied.arg(command.get_program()).args(command.get_args());
    copy_surroundings(command, &mut tied);
    Some(tied)
}

/// Starts a child from a thread that lives as long as this process. For the kernel the parent is the *thread* that
/// started the child, and a test's thread ends long before a control plane that several tests share.
fn spawn(command: Command) -> Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: Mutex<Option<Sender<Order>>> = Mutex::new(None);
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let orders = match spawner.take() {
        Some(orders) => orders,
        None => {
            let (orders, inbox) = channel::<Order>();
            thread::Builder::new().name("spawner".to_owned()).spawn(move || {
                for (mut command, answer) in inbox {
                    // Nobody waits for the answer only if the ordering thread is gone, and the child is gone with it.
                    let _ = answer.send(command.spawn());
                }
            })?;
            orders
        }
    };
    let (answer, child) = channel();
    orders.send((command, answer))?;
    *spawner = Some(orders);
    Ok(child.recv()??)
}

/// The last lines of a log file, for error messages.
pub fn log_tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(cannot read it: {error})"),
    }
}

/// Runs a command to its end: what it wrote to standard output, or an error with the command, its status and its errors.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;
    use std::time::Instant;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_that_ends_too_early_is_reported_with_its_log() {
        let directory = Directory::create("daemon").unwrap();
        let readiness = Readiness::When { what: "a miracle", deadline: PATIENCE, check: &mut || Ok(false) };
        let start = Instant::now();
        let error = Daemon::start(
            "doomed",
            shell("echo no such flag; exit 3"),
            &directory.path().join("log"),
            readiness,
        )
        .err()
        .unwrap()
        .to_string();
        assert!(start.elapsed() < PATIENCE, "the early end was not noticed");
        for part in ["doomed ended with exit status: 3", "a miracle", "no such flag"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }

    #[test]
    fn a_daemon_outlives_the_thread_that_started_it_and_ends_when_dropped() {
        let directory = Directory::create("daemon").unwrap();
        let log = directory.path().join("log");
        let start =
            move || Daemon::start("sleeper", shell("exec sleep 600"), &log, Readiness::Spawned).unwrap();
        let daemon = thread::spawn(start).join().unwrap();
        let identity = Identity::of(daemon.id()).unwrap();
        // The thread's end would have killed it by now: `wait_until` runs out while the process stays.
        let ended =
            wait_until("its end", Duration::from_millis(500), || Ok((!identity.alive()).then_some(())));
        assert!(ended.is_err(), "the process died with the thread");
        drop(daemon);
        assert!(!identity.alive());
    }

    #[test]
    fn terminate_says_how_the_process_ended() {
        let directory = Directory::create("daemon").unwrap();
        let log = directory.path().join("log");
        let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let mut ready = || Ok(fs::read_to_string(&log)?.contains("ready"));
        let readiness = Readiness::When { what: "the trap", deadline: PATIENCE, check: &mut ready };
        let mut daemon = Daemon::start("polite", shell(script), &log, readiness).unwrap();
        assert_eq!(daemon.exited().unwrap(), None);
        assert_eq!(daemon.terminate().unwrap().code(), Some(7));
        assert_eq!(log_tail(daemon.log()), "ready\nbye");
    }
}

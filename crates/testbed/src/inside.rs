//! The way into namespaces that a process lives in. In: commands and addresses. Out: child processes in them, and connections
//! made from them; this process stays where it is. Does not talk to the cluster.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const DEADLINE: Duration = Duration::from_secs(20);

/// A way into namespaces: the first process in them, as this side counts.
#[derive(Clone, Copy)]
pub(crate) struct Inside {
    init: u32,
}

impl Inside {
    /// Through the process with this id, the first of its namespaces.
    pub(crate) fn of(init: u32) -> Inside {
        Inside { init }
    }

    /// The id of the first process.
    pub(crate) fn init(self) -> u32 {
        self.init
    }

    /// The same command inside the mounts and the network, among the processes of this side.
    pub(crate) fn command(self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.init));
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.init));
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        copy_surroundings(command, &mut inside);
        inside
    }

    /// Starts a command inside. It is a child of this process like any other.
    pub(crate) fn spawn(self, command: &Command, prepare: impl FnOnce(&mut Command) + Send) -> Result<Child> {
        let mut inside = self.command(command);
        prepare(&mut inside);
        self.on_a_thread(LinkNameSpaceType::ProcessID, move || inside.spawn())?
            .with_context(|| format!("cannot run {}", command.get_program().display()))
    }

    /// What `act` gives when its connections are made inside.
    pub(crate) fn in_network<T: Send>(self, act: impl FnOnce() -> T + Send) -> Result<T> {
        self.on_a_thread(LinkNameSpaceType::Network, act)
    }

    /// A connection to an address inside.
    pub(crate) fn connect(self, address: SocketAddr) -> Result<TcpStream> {
        Ok(self.in_network(|| TcpStream::connect_timeout(&address, DEADLINE))??)
    }

    /// A thread enters a namespace alone; the process stays where it is.
    fn on_a_thread<T: Send>(self, kind: LinkNameSpaceType, act: impl FnOnce() -> T + Send) -> Result<T> {
        let worker = || -> io::Result<T> {
            let name = if matches!(kind, LinkNameSpaceType::ProcessID) { "pid" } else { "net" };
            let namespace = File::open(format!("/proc/{}/ns/{name}", self.init))?;
            move_into_link_name_space(namespace.as_fd(), Some(kind))?;
            Ok(act())
        };
        thread::scope(|scope| scope.spawn(worker).join())
            .map_err(|_| anyhow!("a thread in the namespaces of process {} has panicked", self.init))?
            .with_context(|| format!("cannot enter the namespaces of process {}", self.init))
    }
}

/// Gives `to`, which runs `from`, the same environment changes and directory.
pub(crate) fn copy_surroundings(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    if let Some(directory) = from.get_current_dir() {
        to.current_dir(directory);
    }
}

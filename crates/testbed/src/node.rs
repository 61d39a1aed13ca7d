//! A whole Kubernetes on one machine: a control plane, and one node that runs pods. In: nothing but root's rights. Out: a
//! cluster in namespaces of its own, with images that were made here. It talks to its own cluster only.
//!
//! Everything runs in one network, mount and process namespace: nothing leaves the machine, several nodes do not meet, and
//! all of it ends with the first process inside. Pods reach each other, Services and DNS names; nothing enforces NetworkPolicies.

mod configuration;
mod daemons;
mod requirements;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};

use self::configuration::{ADDRESS, CONTAINERD_SOCKET, PREFIX_LENGTH};
use self::daemons::Daemons;
use crate::build::{ensure, path};
use crate::cgroup::Cgroup;
use crate::control_plane::{self, ControlPlane, Listen, retry_when_port_taken, until};
use crate::daemon::{Daemon, Lifetime, Setting, output};
use crate::directory::Directory;
use crate::forward::Forward;
use crate::identity::Identity;
use crate::image::Image;
use crate::inside::Inside;
use crate::namespaces::Namespaces;
use crate::net::{accepts_connections, free_ports};
use crate::node_tools::NodeTools;
use crate::part::Part;

const API_PORT: u16 = 6443;
/// How many claims can be bound at once.
const VOLUMES: usize = 16;

/// What a node needs besides the control plane.
const NODE_PARTS: [Part; 9] = [
    Part::NodeTools,
    Part::Containerd,
    Part::ContainerdShim,
    Part::Ctr,
    Part::KubeScheduler,
    Part::Kubelet,
    Part::KubeProxy,
    Part::Coredns,
    Part::Pause,
];

/// A running cluster with a node. Dropping it ends its processes and pods and removes its files and control groups.
pub struct Node {
    // Dropped in this order: everything inside ends first, the files go last.
    machine: Machine,
    daemons: Daemons,
    entry: Entry,
    plane: ControlPlane,
    tools: NodeTools,
}

/// What all processes of the node run in.
struct Machine {
    namespaces: Namespaces,
    cgroup: Cgroup,
    released: bool,
}

/// What keeps the port that leads to the API server.
enum Entry {
    Here(Forward),
    /// A process of its own: this one will end before the cluster does.
    Elsewhere(Daemon),
}

impl Node {
    /// Starts one for this process and waits until it is ready: pods can be scheduled, and names are resolved.
    ///
    /// # Errors
    /// Names everything that this machine lacks, before anything is started.
    pub fn start() -> Result<Node> {
        Node::start_in(|| Directory::create("node"), Lifetime::Tied)
    }

    pub(crate) fn start_in(
        directory: impl FnOnce() -> Result<Directory>,
        lifetime: Lifetime<'_>,
    ) -> Result<Node> {
        Node::ensure_parts(&[])?;
        let tools = NodeTools::get()?;
        let directory = directory()?;
        let machine = Machine::create(directory.path(), lifetime)?;
        let setting = Setting { lifetime, inside: Some(machine.inside()) };
        let (entry, port) = Entry::open(directory.path(), machine.inside(), lifetime)?;
        let listen = Listen { address: ADDRESS, etcd_client: 2379, etcd_peer: 2380, api: API_PORT };
        let plane = ControlPlane::start_inside(directory, listen, port, setting)
            .context("cannot start the control plane of a node")?;
        let sources = daemons::Node { plane: &plane, cgroup: &machine.cgroup, tools: &tools, setting };
        let daemons = Daemons::start(&sources).context("cannot start a node")?;
        let node = Node { machine, daemons, entry, plane, tools };
        node.furnish()?;
        Ok(node)
    }

    /// Builds what is missing of a node's parts and of `more`.
    ///
    /// # Errors
    /// Names everything that this machine lacks for a node, before anything is built.
    pub fn ensure_parts(more: &[Part]) -> Result<()> {
        requirements::check()?;
        ensure(&[&control_plane::PARTS[..], &NODE_PARTS, more].concat())
    }

    /// What the first user finds: DNS, volumes, a network that answers.
    fn furnish(&self) -> Result<()> {
        let coredns = Image::of_part(Part::Coredns)?;
        let name = coredns.name.clone();
        self.load(&[Image::pause()?, coredns])?;
        let volumes: Vec<_> =
            (0..VOLUMES).map(|number| self.plane.directory().join(format!("volumes/{number}"))).collect();
        for volume in &volumes {
            fs::create_dir_all(volume)?;
        }
        self.plane.apply(&configuration::objects(&name, &volumes).to_string())?;
        self.wait_for_dns()
    }

    fn wait_for_dns(&self) -> Result<()> {
        let available = "--for=condition=Available";
        let wait = ["wait", "deployment/coredns", "--namespace=kube-system", available, "--timeout=120s"];
        output(&mut self.plane.kubectl(wait)).map(drop).context("the cluster has no DNS server")
    }

    /// Its control plane: addresses, accounts, `kubectl`.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Imports images, so that pods can use them without a registry.
    pub fn load(&self, images: &[Image]) -> Result<()> {
        for image in images {
            let archive = self.plane.directory().join("image.tar");
            image.archive(&archive)?;
            self.load_archive(&archive).with_context(|| format!("cannot import {}", image.name))?;
            fs::remove_file(&archive)?;
        }
        Ok(())
    }

    /// Gives pods the image of an OCI archive, under the name that it has there.
    pub fn load_archive(&self, archive: &Path) -> Result<()> {
        let mut import = self.ctr(&["images", "import"])?;
        // The kubelet asks for the names as they are; without a digest beside them nothing else is told of.
        import.arg("--local").arg(archive);
        self.run(import).map(drop)
    }

    /// Ends a container's process without warning. `id` is the one in its pod's status.
    pub fn kill(&self, id: &str) -> Result<()> {
        let id = id.strip_prefix("containerd://").unwrap_or(id);
        self.run(self.ctr(&["tasks", "kill", "--signal", "SIGKILL", id])?).map(drop)
    }

    fn ctr(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(path(Part::Ctr)?);
        command.args(["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"]).args(arguments);
        Ok(command)
    }

    /// Opens a loopback port that leads to a Service's port.
    pub fn forward(&self, namespace: &str, service: &str, port: u16) -> Result<Forward> {
        let mut get = self.plane.kubectl(["get", "service", service, "--namespace", namespace]);
        let address = output(get.args(["--output", "jsonpath={.spec.clusterIP}"]))?;
        let address = address
            .parse()
            .with_context(|| format!("Service {namespace}/{service} has the address {address:?}"))?;
        self.forward_to(SocketAddr::new(address, port))
    }

    /// Opens a loopback port that leads to an address in the cluster.
    pub fn forward_to(&self, address: SocketAddr) -> Result<Forward> {
        Forward::open(self.machine.inside(), address)
    }

    /// Opens a loopback port that leads to a port of the loopback interface in a pod: `process` is one of the pod's, as this
    /// side counts.
    pub fn forward_into(process: u32, port: u16) -> Result<Forward> {
        Forward::open(Inside::of(process), (Ipv4Addr::LOCALHOST, port).into())
    }

    /// What happens when the machine loses power and comes back: every process and every container ends, and
    /// all components start again on what is on the disk.
    pub fn restart(&mut self) -> Result<()> {
        let setting = Setting { lifetime: Lifetime::Tied, inside: Some(self.machine.inside()) };
        self.daemons.kill()?;
        self.machine.cgroup.kill_processes()?;
        self.plane.restart(setting)?;
        let sources =
            daemons::Node { plane: &self.plane, cgroup: &self.machine.cgroup, tools: &self.tools, setting };
        self.daemons = Daemons::start(&sources)?;
        self.wait_for_dns()
    }

    /// Runs a command inside to its end.
    fn run(&self, mut command: Command) -> Result<String> {
        command.envs(self.tools.environment()?);
        output(&mut self.machine.inside().command(&command))
    }

    /// Ends everything and removes every trace.
    pub fn stop(mut self) -> Result<()> {
        self.machine.end()?;
        self.plane.stop()
    }

    /// Lets the cluster outlive this value.
    pub(crate) fn release(mut self) {
        self.machine.release();
        self.daemons.release();
        self.entry.release();
        self.plane.release();
    }
}

impl Machine {
    fn create(directory: &Path, lifetime: Lifetime<'_>) -> Result<Machine> {
        let address = format!("{ADDRESS}/{PREFIX_LENGTH}");
        let namespaces = Namespaces::create(directory, &address, lifetime)?;
        // From here on the groups are removed with the value, also when they are incomplete.
        let machine = Machine { namespaces, cgroup: Cgroup::of(directory), released: false };
        machine.cgroup.create()?;
        Ok(machine)
    }

    fn inside(&self) -> Inside {
        self.namespaces.inside()
    }

    fn end(&mut self) -> Result<()> {
        self.namespaces.end()?;
        self.cgroup.remove()
    }

    fn release(&mut self) {
        self.released = true;
        self.namespaces.release();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if let Err(error) = self.end() {
            eprintln!("testbed: cannot end a node: {error:#}");
        }
    }
}

impl Entry {
    fn open(directory: &Path, inside: Inside, lifetime: Lifetime<'_>) -> Result<(Entry, u16)> {
        let target: SocketAddr = format!("{ADDRESS}:{API_PORT}").parse()?;
        match lifetime {
            Lifetime::Tied => {
                let forward = Forward::open(inside, target)?;
                let port = forward.port();
                Ok((Entry::Here(forward), port))
            }
            Lifetime::Detached { .. } => retry_when_port_taken(|| {
                let [port] = free_ports()?;
                let mut command = Command::new(env::current_exe()?);
                command.arg("forward").arg(inside.init().to_string()).arg(port.to_string());
                command.arg(target.to_string());
                let mut ready = || Ok(accepts_connections(port));
                let readiness = until("its port", &mut ready);
                let log = directory.join("forward.log");
                let setting = Setting { lifetime, inside: None };
                Ok((Entry::Elsewhere(Daemon::launch("forward", command, &log, readiness, setting)?), port))
            }),
        }
    }

    fn release(self) {
        match self {
            // A tied cluster ends with this process anyway.
            Entry::Here(forward) => drop(forward),
            Entry::Elsewhere(mut daemon) => daemon.release(),
        }
    }
}

/// Keeps a port open that leads to an address in the namespaces of the process `init`, for as long as that lives.
///
/// # Errors
/// When the port is taken.
pub fn keep_forward(init: u32, port: u16, target: SocketAddr) -> Result<()> {
    let _forward = Forward::on(port, Inside::of(init), target)?;
    let process = Identity::of(init).with_context(|| format!("there is no process {init}"))?;
    while process.alive() {
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

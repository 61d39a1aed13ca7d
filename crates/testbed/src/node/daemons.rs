//! How each process of a node is started and when it is ready. In: the control plane's files, the way into the namespaces.
//! Out: daemons. It talks to the cluster that it belongs to.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::configuration::{self, ADDRESS, POD_RANGE};
use crate::build::path;
use crate::cgroup::Cgroup;
use crate::control_plane::{ControlPlane, command, until};
use crate::credentials::NODE;
use crate::daemon::{Daemon, Readiness, Setting, output};
use crate::image::Image;
use crate::node_tools::NodeTools;
use crate::part::Part;

/// The processes of one node, in the order in which they end.
pub(super) struct Daemons {
    scheduler: Daemon,
    kube_proxy: Daemon,
    kubelet: Daemon,
    containerd: Daemon,
}

/// What they are started with.
pub(super) struct Node<'a> {
    pub plane: &'a ControlPlane,
    pub cgroup: &'a Cgroup,
    pub tools: &'a NodeTools,
    pub setting: Setting<'a>,
}

impl Daemons {
    pub(super) fn start(node: &Node<'_>) -> Result<Daemons> {
        Ok(Daemons {
            containerd: node.start_containerd()?,
            kubelet: node.start_kubelet()?,
            kube_proxy: node.start_kube_proxy()?,
            scheduler: node.start_scheduler()?,
        })
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        for daemon in self.all() {
            daemon.kill()?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self) {
        for daemon in self.all() {
            daemon.release();
        }
    }

    fn all(&mut self) -> [&mut Daemon; 4] {
        [&mut self.scheduler, &mut self.kube_proxy, &mut self.kubelet, &mut self.containerd]
    }
}

impl Node<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.plane.files().at(name)
    }

    fn start_containerd(&self) -> Result<Daemon> {
        let config = self.at("containerd.toml");
        let directory = self.plane.directory();
        let (runc, cni) = (self.tools.runc(), self.tools.cni_bin_dir());
        fs::write(&config, configuration::containerd(directory, &runc, &cni, &Image::pause()?.name))?;
        fs::create_dir_all(self.at("cni"))?;
        fs::write(self.at("cni/pods.conflist"), configuration::pod_network().to_string())?;
        let mut command = command(Part::Containerd, &[("--config", &config)])?;
        // It finds the shim beside itself in PATH.
        let shim = path(Part::ContainerdShim)?;
        let shim = shim.parent().context("the shim has no directory")?.to_owned();
        for (name, value) in self.tools.environment()? {
            if name == "PATH" {
                let directories = std::env::split_paths(&value).chain([shim.clone()]);
                command.env(name, std::env::join_paths(directories)?);
            } else {
                command.env(name, value);
            }
        }
        let log = self.plane.files().fresh("containerd.log")?;
        // Its socket is in mounts of its own, so its word for being ready is in its log.
        let mut ready = || Ok(fs::read_to_string(&log)?.contains("containerd successfully booted"));
        Daemon::launch("containerd", command, &log, until("its socket", &mut ready), self.setting)
    }

    fn start_kubelet(&self) -> Result<Daemon> {
        let config = self.at("kubelet.json");
        fs::write(self.at("resolv.conf"), "")?;
        fs::write(&config, configuration::kubelet(self.plane.directory(), &self.cgroup.path()).to_string())?;
        let credentials = self.plane.credentials();
        let kubeconfig = self.plane.local_kubeconfig(&format!("system:node:{NODE}"), &credentials.kubelet)?;
        let mut command = command(
            Part::Kubelet,
            &[
                ("--config", &config),
                ("--kubeconfig", &kubeconfig),
                ("--root-dir", &self.at("kubelet")),
                ("--hostname-override", &NODE),
                ("--node-ip", &ADDRESS),
            ],
        )?;
        command.envs(self.tools.environment()?);
        let mut ready = || {
            let node = format!("node/{NODE}");
            let condition = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            Ok(output(&mut self.plane.kubectl(["get", &node, "--output", condition]))? == "True")
        };
        let log = self.plane.files().fresh("kubelet.log")?;
        Daemon::launch("kubelet", command, &log, until("a ready node", &mut ready), self.setting)
    }

    fn start_kube_proxy(&self) -> Result<Daemon> {
        let kubeconfig =
            self.plane.local_kubeconfig("system:kube-proxy", &self.plane.credentials().kube_proxy)?;
        let mut command = command(
            Part::KubeProxy,
            &[
                ("--kubeconfig", &kubeconfig),
                ("--hostname-override", &NODE),
                ("--proxy-mode", &"nftables"),
                ("--cluster-cidr", &POD_RANGE),
                // The connection table's size is the machine's, not the namespace's.
                ("--conntrack-max-per-core", &"0"),
            ],
        )?;
        command.envs(self.tools.environment()?);
        let log = self.plane.files().fresh("kube-proxy.log")?;
        Daemon::launch("kube-proxy", command, &log, Readiness::Spawned, self.setting)
    }

    fn start_scheduler(&self) -> Result<Daemon> {
        let kubeconfig =
            self.plane.local_kubeconfig("system:kube-scheduler", &self.plane.credentials().scheduler)?;
        let command = command(
            Part::KubeScheduler,
            &[
                ("--kubeconfig", &kubeconfig),
                ("--authentication-kubeconfig", &kubeconfig),
                ("--authorization-kubeconfig", &kubeconfig),
                ("--leader-elect", &"false"),
            ],
        )?;
        let log = self.plane.files().fresh("kube-scheduler.log")?;
        Daemon::launch("kube-scheduler", command, &log, Readiness::Spawned, self.setting)
    }
}

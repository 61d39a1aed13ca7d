//! One Kubernetes control plane. In: nothing. Out: etcd, API server and controller manager as child processes on free
//! loopback ports, with ways to log in. It talks to its own cluster only.
//!
//! As on a real cluster: RBAC, service account tokens that the API server signs, TLS that clients verify, an audit log. For the
//! sake of tests: etcd does not wait for the disk, there is one of each process, and without a [`crate::Node`] pods stay
//! pending.
//!
//! The garbage collector looks for new kinds every 30 s. Deletions cascade from objects of a new custom resource only
//! from then on.

mod processes;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

pub(crate) use self::processes::{Files, Listen, command, until};
use crate::build::ensure;
use crate::credentials::Credentials;
use crate::daemon::{Daemon, Lifetime, Setting, output};
use crate::directory::{Directory, remove_if_present};
use crate::kubeconfig::{self, Server};
use crate::net::free_ports;
use crate::part::Part;

const ATTEMPTS: usize = 5;

/// What a control plane is made of.
pub(crate) const PARTS: [Part; 4] =
    [Part::Etcd, Part::KubeApiserver, Part::KubeControllerManager, Part::Kubectl];

/// A running control plane. Dropping it ends its processes and removes its files.
pub struct ControlPlane {
    processes: Processes,
    files: Files,
    credentials: Credentials,
    listen: Listen,
    entry: Entry,
}

/// Dropped in this order: clients before servers.
struct Processes {
    controller_manager: Daemon,
    api_server: Daemon,
    etcd: Daemon,
}

/// How this side reaches the API server.
struct Entry {
    url: String,
    name: Option<&'static str>,
}

impl ControlPlane {
    /// Starts one for this process and waits until it is ready: the API server says so, and the namespace `default` has its
    /// service account.
    pub fn start() -> Result<ControlPlane> {
        let directory = Directory::create("control-plane")?;
        ControlPlane::start_in(directory, Lifetime::Tied)
    }

    /// The same with the API server of Kubernetes 1.35; the other processes are those of [`ControlPlane::start`].
    pub fn start_1_35() -> Result<ControlPlane> {
        let directory = Directory::create("control-plane-1.35")?;
        ensure(&[Part::KubeApiserver135])?;
        ControlPlane::start_with(Part::KubeApiserver135, directory, Lifetime::Tied)
    }

    pub(crate) fn start_in(directory: Directory, lifetime: Lifetime<'_>) -> Result<ControlPlane> {
        ControlPlane::start_with(Part::KubeApiserver, directory, lifetime)
    }

    fn start_with(api_server: Part, directory: Directory, lifetime: Lifetime<'_>) -> Result<ControlPlane> {
        ensure(&PARTS)?;
        let files = Files::new(directory, api_server)?;
        let credentials = Credentials::create(files.directory.path())?;
        let setting = Setting { lifetime, inside: None };
        let (processes, listen, entry) = retry_when_port_taken(|| {
            let [etcd_client, etcd_peer, api] = free_ports()?;
            let listen = Listen { address: "127.0.0.1", etcd_client, etcd_peer, api };
            let entry = Entry { url: listen.api_url(), name: None };
            remove_if_present(&files.at("etcd"))?;
            if let Lifetime::Detached { record } = lifetime {
                fs::write(record, "")?;
            }
            Ok((Processes::start(&files, &credentials, &listen, &entry, setting)?, listen, entry))
        })
        .context("cannot start a control plane")?;
        Ok(ControlPlane { processes, files, credentials, listen, entry })
    }

    /// Starts one inside namespaces, at `listen`. This side reaches its API server through `port` of the loopback interface.
    pub(crate) fn start_inside(
        directory: Directory,
        listen: Listen,
        port: u16,
        setting: Setting<'_>,
    ) -> Result<ControlPlane> {
        let files = Files::new(directory, Part::KubeApiserver)?;
        let credentials = Credentials::create(files.directory.path())?;
        let entry = Entry { url: format!("https://127.0.0.1:{port}"), name: Some("localhost") };
        let processes = Processes::start(&files, &credentials, &listen, &entry, setting)?;
        Ok(ControlPlane { processes, files, credentials, listen, entry })
    }

    /// Kills all processes and starts them again, on the same data.
    pub(crate) fn restart(&mut self, setting: Setting<'_>) -> Result<()> {
        for process in self.processes.all() {
            process.kill()?;
        }
        self.processes =
            Processes::start(&self.files, &self.credentials, &self.listen, &self.entry, setting)?;
        Ok(())
    }

    /// The files and the secrets, for the processes of a node.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// A kubeconfig for a process that runs where the API server does.
    pub(crate) fn local_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf> {
        local_kubeconfig(&self.files, &self.listen, user, token)
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The API server's address.
    pub fn url(&self) -> &str {
        &self.entry.url
    }

    /// This control plane's own directory, removed when it stops. The logs of its processes lie here.
    pub fn directory(&self) -> &Path {
        self.files.directory.path()
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.files.kubeconfig
    }

    /// The kubeconfig of a service account, with a token that the API server issued for 24 hours. The account is
    /// created when it is absent; its namespace and its rights are the caller's business.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace}});
        self.apply(&account.to_string())?;
        let mut create = self.kubectl(["create", "token", name]);
        let token = output(create.args(["--namespace", namespace, "--duration", "24h"]))?;
        // Neither name can contain an underscore, so two accounts cannot share a file.
        let path = self.files.at(&format!("kubeconfig_{namespace}_{name}"));
        let user = format!("{namespace}/{name}");
        kubeconfig::write(&path, self.entry.server(&self.files), &user, token.trim())
    }

    /// The API server's audit log: JSON lines at level Metadata, each written before its request is answered. A request
    /// that was answered has exactly one line with stage `ResponseComplete`.
    pub fn audit_log(&self) -> &Path {
        &self.files.audit_log
    }

    /// A kubectl of the cluster's version, logged in as administrator; run it with [`crate::output`] or as you like.
    pub fn kubectl<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.files.kubectl(args)
    }

    /// Applies YAML or JSON documents, server-side.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.apply_in(None, manifests)
    }

    /// Applies YAML or JSON documents, server-side, to a namespace where they name none.
    pub fn apply_in(&self, namespace: Option<&str>, manifests: &str) -> Result<()> {
        let mut command = self.kubectl(["apply", "--server-side", "--filename", "-"]);
        if let Some(namespace) = namespace {
            command.args(["--namespace", namespace]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(manifests.as_bytes())?;
        }
        let result = child.wait_with_output()?;
        if !result.status.success() {
            bail!(
                "kubectl apply ended with {}: {}",
                result.status,
                String::from_utf8_lossy(&result.stderr).trim()
            );
        }
        Ok(())
    }

    /// Ends the processes and removes the directory.
    pub fn stop(mut self) -> Result<()> {
        self.processes.terminate()?;
        remove_if_present(self.files.directory.path())
    }

    /// Lets the processes and the directory outlive this value.
    pub(crate) fn release(mut self) {
        self.processes.controller_manager.release();
        self.processes.api_server.release();
        self.processes.etcd.release();
        self.files.directory.release();
    }
}

impl Processes {
    fn start(
        files: &Files,
        credentials: &Credentials,
        listen: &Listen,
        entry: &Entry,
        setting: Setting<'_>,
    ) -> Result<Processes> {
        kubeconfig::write(&files.kubeconfig, entry.server(files), "admin", &credentials.admin)?;
        let managers =
            local_kubeconfig(files, listen, "controller-manager", &credentials.controller_manager)?;
        let etcd = files.start_etcd(listen, setting)?;
        let api_server = files.start_api_server(listen, credentials, setting)?;
        let controller_manager = files.start_controller_manager(&managers, credentials, setting)?;
        Ok(Processes { controller_manager, api_server, etcd })
    }

    fn terminate(&mut self) -> Result<()> {
        for process in self.all() {
            process.terminate()?;
        }
        Ok(())
    }

    fn all(&mut self) -> [&mut Daemon; 3] {
        [&mut self.controller_manager, &mut self.api_server, &mut self.etcd]
    }
}

impl Entry {
    fn server<'a>(&'a self, files: &'a Files) -> Server<'a> {
        Server { url: &self.url, name: self.name, authority: &files.authority }
    }
}

fn local_kubeconfig(files: &Files, listen: &Listen, user: &str, token: &str) -> Result<PathBuf> {
    let server = Server { url: &listen.api_url(), name: None, authority: &files.authority };
    kubeconfig::write(&files.at(&format!("kubeconfig_{}", user.replace(':', "-"))), server, user, token)
}

/// Runs `start` again when another process has taken one of its ports between choosing and binding it.
pub(crate) fn retry_when_port_taken<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match start() {
            Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") => {
                attempt += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn only_a_taken_port_is_tried_again() {
        let mut left = 2;
        let started = retry_when_port_taken(|| match left {
            0 => Ok("started"),
            _ => {
                left -= 1;
                Err(anyhow!("end of log:\nlisten tcp 127.0.0.1:80: bind: address already in use"))
            }
        });
        assert_eq!(started.unwrap(), "started");

        for (message, attempts) in [("unknown flag", 1), ("bind: address already in use", ATTEMPTS)] {
            let mut seen = 0;
            let failed = retry_when_port_taken::<()>(|| {
                seen += 1;
                Err(anyhow!(message))
            });
            assert_eq!(failed.unwrap_err().to_string(), message);
            assert_eq!(seen, attempts, "{message}");
        }
    }
}

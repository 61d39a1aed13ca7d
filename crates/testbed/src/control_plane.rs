//! One Kubernetes control plane. In: nothing. Out: etcd, API server and controller manager as child processes on free
//! loopback ports, with ways to log in. It talks to its own cluster only.
//!
//! As on a real cluster: RBAC, service account tokens that the API server signs, TLS that clients verify, an audit log. For the
//! sake of tests: etcd does not wait for the disk, there is one of each process, and no node, so pods stay pending.
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

use self::processes::Files;
use crate::build::ensure;
use crate::credentials::Credentials;
use crate::daemon::{Daemon, Lifetime, output};
use crate::directory::{Directory, remove_if_present};
use crate::kubeconfig;
use crate::net::free_ports;
use crate::part::Part;

const ATTEMPTS: usize = 5;

/// What a control plane is made of.
pub(crate) const PARTS: [Part; 4] =
    [Part::Etcd, Part::KubeApiserver, Part::KubeControllerManager, Part::Kubectl];

/// A running control plane. Dropping it ends its processes and removes its files.
pub struct ControlPlane {
    // Dropped in this order: clients before servers, files last.
    controller_manager: Daemon,
    api_server: Daemon,
    etcd: Daemon,
    files: Files,
    url: String,
}

impl ControlPlane {
    /// Starts one for this process and waits until it is ready: the API server says so, and the namespace `default` has its
    /// service account.
    pub fn start() -> Result<ControlPlane> {
        let directory = Directory::create("control-plane")?;
        ControlPlane::start_in(directory, Lifetime::Tied)
    }

    pub(crate) fn start_in(directory: Directory, lifetime: Lifetime<'_>) -> Result<ControlPlane> {
        ensure(&PARTS)?;
        let files = Files::new(directory)?;
        let credentials = Credentials::create(files.directory.path())?;
        let managers_kubeconfig = files.at("kubeconfig_controller-manager");
        retry_when_port_taken(|| {
            let [client, peer, secure] = free_ports()?;
            let url = format!("https://127.0.0.1:{secure}");
            remove_if_present(&files.at("etcd"))?;
            if let Lifetime::Detached { record } = lifetime {
                fs::write(record, "")?;
            }
            let write_kubeconfig = |path: &Path, user: &str, token: &str| {
                kubeconfig::write(path, &url, &files.authority, user, token)
            };
            write_kubeconfig(&files.kubeconfig, "admin", &credentials.admin)?;
            write_kubeconfig(&managers_kubeconfig, "controller-manager", &credentials.controller_manager)?;
            let etcd = files.start_etcd(client, peer, lifetime)?;
            let api_server = files.start_api_server(client, secure, &credentials, lifetime)?;
            let manager = files.start_controller_manager(&managers_kubeconfig, &credentials, lifetime)?;
            Ok((manager, api_server, etcd, url))
        })
        .map(|(controller_manager, api_server, etcd, url)| ControlPlane {
            controller_manager,
            api_server,
            etcd,
            files,
            url,
        })
        .context("cannot start a control plane")
    }

    /// The API server's address.
    pub fn url(&self) -> &str {
        &self.url
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
        kubeconfig::write(&path, &self.url, &self.files.authority, &user, token.trim())
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
        let mut command = self.kubectl(["apply", "--server-side", "--filename", "-"]);
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
        for process in [&mut self.controller_manager, &mut self.api_server, &mut self.etcd] {
            process.terminate()?;
        }
        remove_if_present(self.files.directory.path())
    }

    /// Lets the processes and the directory outlive this value.
    pub(crate) fn release(self) {
        self.controller_manager.release();
        self.api_server.release();
        self.etcd.release();
        self.files.directory.release();
    }
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

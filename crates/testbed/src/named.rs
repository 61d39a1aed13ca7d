//! Clusters that stay up after the command ends. In: a name. Out: a running cluster, its address, or its end. It talks
//! to its own clusters only, and ends only processes that it started: each is recorded with its start time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::build::{cache_directory, ensure, lock, path};
use crate::cgroup::Cgroup;
use crate::control_plane::{ControlPlane, PARTS};
use crate::daemon::{Lifetime, output};
use crate::directory::{Directory, remove_if_present};
use crate::identity::Identity;
use crate::image::Image;
use crate::namespaces::Namespaces;
use crate::node::Node;
use crate::part::Part;

/// A control plane by its name.
pub struct Cluster {
    name: String,
    directory: PathBuf,
}

/// What a cluster is made of.
#[derive(Clone, Copy)]
pub enum Shape<'a> {
    /// Only a control plane: pods stay pending.
    ControlPlane,
    /// A control plane and a node with these images.
    Node {
        /// What pods can use.
        load: &'a [Image],
    },
}

/// What [`Cluster::up`] found.
pub enum Up {
    /// The cluster was started.
    Started,
    /// It had been running already.
    Running,
}

/// What can be said about a named control plane.
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its address; nothing while it does not run.
    pub url: Option<String>,
    /// Its version, or why it does not tell.
    pub version: String,
}

impl Cluster {
    /// The cluster called `name`, running or not.
    pub fn named(name: &str) -> Result<Cluster> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(valid) {
            bail!("{name:?} cannot be a cluster's name: use 1 to 40 of a-z, 0-9 and -");
        }
        Ok(Cluster { name: name.to_owned(), directory: clusters()?.join(name) })
    }

    /// Every cluster that was brought up and not down, by name.
    pub fn all() -> Result<Vec<Cluster>> {
        let directory = clusters()?;
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            all.push(Cluster {
                name: entry.file_name().to_string_lossy().into_owned(),
                directory: entry.path(),
            });
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Starts the cluster unless it runs: a control plane, or one with a node on which the images of `load` are at hand.
    /// Remains of one that ended by itself are removed first.
    pub fn up(&self, shape: Shape<'_>) -> Result<Up> {
        // Builds may take long; they need no lock of ours.
        ensure(&PARTS)?;
        if let Shape::Node { .. } = shape {
            Node::ensure_parts(&[])?;
        }
        let _lock = self.lock()?;
        if self.runs()? {
            let wanted = matches!(shape, Shape::Node { .. });
            if wanted != Namespaces::are_in(&self.directory) {
                let present = if wanted { "without a node" } else { "with a node" };
                bail!(
                    "cluster {:?} runs {present}: `testbed down --name {}` first, or use another name",
                    self.name,
                    self.name
                );
            }
            return Ok(Up::Running);
        }
        self.end()?;
        let directory = || Directory::create_at(self.directory.clone());
        let record = self.record();
        let lifetime = Lifetime::Detached { record: &record };
        match shape {
            Shape::ControlPlane => {
                let plane = ControlPlane::start_in(directory()?, lifetime)?;
                fs::write(self.directory.join("url"), plane.url())?;
                plane.release();
            }
            Shape::Node { load } => {
                let node = Node::start_in(directory, lifetime)?;
                node.load(load)?;
                fs::write(self.directory.join("url"), node.control_plane().url())?;
                node.release();
            }
        }
        Ok(Up::Started)
    }

    /// Ends the cluster's processes and removes everything about it. Says whether there was anything.
    pub fn down(&self) -> Result<bool> {
        let _lock = self.lock()?;
        let existed = self.directory.exists();
        self.end()?;
        Ok(existed)
    }

    /// The administrator's kubeconfig of a running cluster.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        if !self.runs()? {
            bail!("cluster {:?} does not run; `testbed up --name {}` starts it", self.name, self.name);
        }
        Ok(self.directory.join("kubeconfig"))
    }

    /// Whether it runs, where, and what it calls itself.
    pub fn status(&self) -> Result<Status> {
        let (url, version) = if self.runs()? {
            let version = self.version().unwrap_or_else(|error| format!("does not answer: {error:#}"));
            (Some(fs::read_to_string(self.directory.join("url"))?), version)
        } else {
            (None, "not running".to_owned())
        };
        Ok(Status { name: self.name.clone(), url, version })
    }

    fn version(&self) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let mut kubectl = Command::new(path(Part::Kubectl)?);
        kubectl.args(["get", "--raw", "/version", "--request-timeout", "5s"]);
        kubectl.env("KUBECONFIG", self.directory.join("kubeconfig"));
        let version: Version = serde_json::from_str(&output(&mut kubectl)?)?;
        Ok(version.git_version)
    }

    /// Started completely, and every process is still there.
    fn runs(&self) -> Result<bool> {
        let processes = Identity::recorded(&self.record())?;
        Ok(self.directory.join("url").exists() && processes.into_iter().all(Identity::alive))
    }

    fn end(&self) -> Result<()> {
        let mut processes = Identity::recorded(&self.record())?;
        // The newest first, so that clients end before the servers they talk to. With a node the namespaces are the oldest,
        // and the kernel ends everything in them at once.
        if !Namespaces::are_in(&self.directory) {
            processes.reverse();
        }
        for process in processes {
            process.end()?;
        }
        Cgroup::of(&self.directory).remove()?;
        remove_if_present(&self.directory)
    }

    fn record(&self) -> PathBuf {
        self.directory.join("processes")
    }

    fn lock(&self) -> Result<fs::File> {
        let waiting = || eprintln!("testbed: waiting for another command on cluster {:?}", self.name);
        lock(&cache_directory()?, "clusters", waiting).context("cannot lock the clusters")
    }
}

fn clusters() -> Result<PathBuf> {
    Ok(cache_directory()?.join("clusters"))
}

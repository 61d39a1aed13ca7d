//! The control group that a node's pods live in. In: the node's directory. Out: a group in every hierarchy of this machine,
//! or its removal. Does not talk to the cluster.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::hash::sha256;
use crate::wait::wait_until;

const ROOT: &str = "/sys/fs/cgroup";
/// What a kubelet insists on.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
const PATIENCE: Duration = Duration::from_secs(20);

/// One group, by its name under the root of each hierarchy.
pub(crate) struct Cgroup {
    name: String,
}

impl Cgroup {
    /// The group that belongs to a directory. The name follows from the path, so that it is found again after a crash.
    pub(crate) fn of(directory: &Path) -> Cgroup {
        let hash = sha256(directory.as_os_str().as_encoded_bytes());
        Cgroup { name: format!("telemetry-operator-testbed-{}", &hash[..12]) }
    }

    /// The path from the root of a hierarchy, as a kubelet names it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Makes the group.
    pub(crate) fn create(&self) -> Result<()> {
        for hierarchy in hierarchies()? {
            let group = hierarchy.join(&self.name);
            fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
            hand_down(&hierarchy, &group)?;
        }
        Ok(())
    }

    /// Ends every process in the group, the group stays.
    pub(crate) fn kill_processes(&self) -> Result<()> {
        wait_until("the end of every container", PATIENCE, || {
            let mut groups = Vec::new();
            for hierarchy in hierarchies()? {
                descend(&hierarchy.join(&self.name), &mut groups)?;
            }
            let mut left = 0;
            for group in groups {
                for pid in processes(&group)? {
                    left += 1;
                    // Whoever has ended in the meantime is what is wanted.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            if left > 0 {
                bail!("{left} processes are left");
            }
            Ok(Some(()))
        })
    }

    /// Removes the group with all groups in it, once their last process is gone; it may be absent.
    pub(crate) fn remove(&self) -> Result<()> {
        for hierarchy in hierarchies().unwrap_or_default() {
            let group = hierarchy.join(&self.name);
            wait_until(&format!("{} to become empty", group.display()), PATIENCE, || {
                remove_tree(&group).map(Some)
            })?;
        }
        Ok(())
    }
}

/// What is missing on this machine for a node's pods, if anything.
pub(crate) fn missing() -> Option<String> {
    let served: Vec<String> = match hierarchies() {
        Ok(hierarchies) => hierarchies.iter().flat_map(|hierarchy| controllers(hierarchy)).collect(),
        Err(error) => return Some(format!("{error:#}")),
    };
    let missing: Vec<_> =
        CONTROLLERS.into_iter().filter(|wanted| !served.iter().any(|name| name == wanted)).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "control group controllers {} (under {ROOT}), which limit the pods' resources",
            missing.join(", ")
        )
    })
}

/// The roots of this machine's hierarchies: one of version 2, or one for each controller of version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).with_context(|| format!("cannot read {ROOT}"))? {
        let entry = entry?;
        // Some hierarchies have a second name that is a link to the first; those without the file are no hierarchy.
        if entry.file_type()?.is_dir() && entry.path().join("cgroup.procs").exists() {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        bail!("there are no control groups under {ROOT}");
    }
    Ok(found)
}

fn controllers(hierarchy: &Path) -> Vec<String> {
    match fs::read_to_string(hierarchy.join("cgroup.controllers")) {
        Ok(list) if !list.trim().is_empty() => list.split_whitespace().map(str::to_owned).collect(),
        _ => hierarchy
            .file_name()
            .map(|name| name.to_string_lossy().split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    }
}

/// Lets the group use the controllers: version 2 hands each on by name, version 1 wants the processors to be named.
fn hand_down(hierarchy: &Path, group: &Path) -> Result<()> {
    if hierarchy == Path::new(ROOT) {
        for parent in [hierarchy, group] {
            let wanted = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
            fs::write(parent.join("cgroup.subtree_control"), wanted)
                .with_context(|| format!("cannot hand controllers down from {}", parent.display()))?;
        }
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read_to_string(hierarchy.join(file))
            && group.join(file).exists()
        {
            fs::write(group.join(file), value.trim())?;
        }
    }
    Ok(())
}

fn descend(group: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            descend(&entry.path(), found)?;
        }
    }
    found.push(group.to_owned());
    Ok(())
}

fn processes(group: &Path) -> Result<Vec<rustix::process::Pid>> {
    match fs::read_to_string(group.join("cgroup.procs")) {
        Ok(list) => {
            Ok(list.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)).collect())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn remove_tree(group: &Path) -> Result<()> {
    let mut groups = Vec::new();
    // Its own children come before a group.
    descend(group, &mut groups)?;
    for group in groups {
        match fs::remove_dir(&group) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", group.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

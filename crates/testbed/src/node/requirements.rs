//! What a node needs of this machine. In: nothing. Out: everything that is missing, at once, before anything is started.
//! Does not talk to the cluster.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::cgroup;

/// A command that shows whether something works, and what it is for.
struct Probe {
    command: &'static [&'static str],
    needed: &'static str,
}

const PROBES: [Probe; 3] = [
    Probe {
        command: &[
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--",
            "nsenter",
            "--version",
        ],
        needed: "namespaces for network, mounts and processes (util-linux, CAP_SYS_ADMIN)",
    },
    Probe {
        command: &[
            "unshare", "--net", "--", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two",
        ],
        needed: "pairs of network links (iproute2, kernel module veth)",
    },
    Probe {
        command: &[
            "unshare",
            "--mount",
            "--",
            "sh",
            "-c",
            "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && mount -t overlay none -o lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w /usr",
        ],
        needed: "overlay file systems (kernel module overlay)",
    },
];

/// Fails with everything that is missing.
pub(super) fn check() -> Result<()> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("to run as root: namespaces, mounts and control groups are made".to_owned());
    } else {
        missing.extend(PROBES.iter().filter_map(Probe::fails));
    }
    missing.extend(cgroup::missing());
    if !missing.is_empty() {
        bail!("this machine cannot run a node. It lacks:\n- {}", missing.join("\n- "));
    }
    Ok(())
}

impl Probe {
    fn fails(&self) -> Option<String> {
        let [program, arguments @ ..] = self.command else { return None };
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let why = match output {
            Ok(output) if output.status.success() => return None,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Some(format!("{}; `{}` says: {why}", self.needed, self.command.join(" ")))
    }
}

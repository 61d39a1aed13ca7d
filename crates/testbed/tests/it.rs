//! What the testbed promises, tried on the real programs. One binary, so that most tests share one control plane.

#![allow(clippy::unwrap_used, clippy::panic)]

mod it {
    pub mod build;
    pub mod cluster;
    pub mod command;
    pub mod lifecycle;
    pub mod programs;
}

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use testbed::ControlPlane;

const DEADLINE: Duration = Duration::from_secs(60);

/// The control plane of all tests that do not stop it; each uses a namespace of its own. It ends with this process.
static PLANE: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::start().unwrap());

/// Creates a namespace in the shared control plane.
fn namespace(name: &str) -> &str {
    testbed::output(&mut PLANE.kubectl(["create", "namespace", name])).unwrap();
    name
}

/// The command lines of all processes that mention `directory`: what a control plane left behind.
fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| command_line(entry.ok()?))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(directory))
        .collect()
}

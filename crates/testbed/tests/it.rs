//! What the testbed promises, tried on the real programs. One binary, so that most tests share one control plane.

#![allow(clippy::unwrap_used, clippy::panic)]

mod it {
    pub mod build;
    pub mod cluster;
    pub mod command;
    pub mod lifecycle;
    pub mod node;
    pub mod programs;
}

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use std::{env, fs, thread};

use testbed::ControlPlane;

const DEADLINE: Duration = Duration::from_secs(60);

/// The control plane of all tests that do not stop it; each uses a namespace of its own. It ends with this process.
static PLANE: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::start().unwrap());

/// Creates a namespace in the shared control plane.
fn namespace(name: &str) -> &str {
    testbed::output(&mut PLANE.kubectl(["create", "namespace", name])).unwrap();
    name
}

/// Says in a process of its own where a test's things are; [`hold`] reads it.
const HELD: &str = "held: ";

/// Runs an ignored test of this binary in a process of its own, which holds something: the process, and the directory that it
/// has told. It ends at the latest when the caller does, whose end of its input is then closed.
fn hold(test: &str) -> (Child, PathBuf) {
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let directory = lines
        .find_map(|line| line.unwrap().split_once(HELD).map(|(_, path)| path.into()))
        .unwrap_or_else(|| panic!("{test} ended too early: {:?}", holder.wait()));
    // It goes on writing, and must not meet a closed pipe.
    thread::spawn(move || lines.for_each(drop));
    (holder, directory)
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

//! Control planes begin and end without traces, also when nobody ends them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, thread};

use testbed::{ControlPlane, Directory, output, wait_until};

use crate::{DEADLINE, processes_of};

const HELD: &str = "held control plane: ";

#[test]
fn two_control_planes_are_apart_and_stop_without_a_trace() {
    let planes = thread::scope(|scope| {
        let starting = [(), ()].map(|()| scope.spawn(|| ControlPlane::start().unwrap()));
        starting.map(|plane| plane.join().unwrap())
    });
    let [one, other] = &planes;
    assert_ne!(one.url(), other.url());
    output(&mut one.kubectl(["create", "namespace", "only-in-one"])).unwrap();
    output(&mut one.kubectl(["get", "namespace/only-in-one"])).unwrap();
    let error = output(&mut other.kubectl(["get", "namespace/only-in-one"])).unwrap_err().to_string();
    assert!(error.contains("(NotFound)"), "{error}");

    let directories = [one, other].map(|plane| plane.directory().to_owned());
    for directory in &directories {
        assert_eq!(processes_of(directory).len(), 3, "{:?}", processes_of(directory));
    }
    let [one, other] = planes;
    one.stop().unwrap();
    drop(other);
    for directory in &directories {
        assert_eq!(processes_of(directory), Vec::<String>::new());
        assert!(!directory.exists(), "{} is left", directory.display());
    }
}

#[test]
fn a_killed_parent_leaves_no_process_and_its_files_are_swept() {
    let mut parent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "it::lifecycle::holds_a_control_plane", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let directory: PathBuf = BufReader::new(parent.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().split_once(HELD).map(|(_, path)| path.into()))
        .unwrap_or_else(|| panic!("the parent ended without a control plane: {:?}", parent.wait()));
    assert_eq!(processes_of(&directory).len(), 3);

    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the children of the killed parent to die", DEADLINE, || {
        let left = processes_of(&directory);
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(Some(()))
    })
    .unwrap();
    drop(Directory::create("sweeper").unwrap());
    // Another test's sweep may have come first, and may not be through yet.
    wait_until("the directory to be swept", DEADLINE, || Ok((!directory.exists()).then_some(()))).unwrap();
}

#[test]
#[ignore = "the parent that is killed in a_killed_parent_leaves_no_process_and_its_files_are_swept"]
fn holds_a_control_plane() {
    let plane = ControlPlane::start().unwrap();
    println!("{HELD}{}", plane.directory().display());
    // Ends at the latest when the other test does, whose end of the pipe is then closed.
    std::io::stdin().lines().for_each(drop);
}

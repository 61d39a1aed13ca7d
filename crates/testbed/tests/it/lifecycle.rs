//! Control planes begin and end without traces, also when nobody ends them.

use std::process::Command;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use testbed::{ControlPlane, Directory, interrupt, output, wait_until};

use crate::{DEADLINE, HELD, hold, processes_of};

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
    let (mut parent, directory) = hold("it::lifecycle::holds_a_control_plane");
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
fn a_signal_ends_what_is_waited_for_and_values_are_dropped_in_order() {
    let (mut waiting, directory) = hold("it::lifecycle::waits_until_a_signal");
    assert!(directory.exists());
    kill_process(Pid::from_child(&waiting), Signal::TERM).unwrap();
    assert!(waiting.wait().unwrap().success(), "the signal ended the process itself");
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
#[ignore = "the process that is ended in a_signal_ends_what_is_waited_for_and_values_are_dropped_in_order"]
fn waits_until_a_signal() {
    interrupt::catch().unwrap();
    let directory = Directory::create("interrupted").unwrap();
    let mut sleep = Command::new("sleep");
    println!("{HELD}{}", directory.path().display());
    assert!(output(sleep.arg("600")).is_err(), "sleep was not killed");
    assert!(interrupt::caught());
}

#[test]
#[ignore = "the parent that is killed in a_killed_parent_leaves_no_process_and_its_files_are_swept"]
fn holds_a_control_plane() {
    let plane = ControlPlane::start().unwrap();
    println!("{HELD}{}", plane.directory().display());
    // Ends at the latest when the other test does, whose end of the pipe is then closed.
    std::io::stdin().lines().for_each(drop);
}

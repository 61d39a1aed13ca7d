//! Building: once, by one process, and with an explanation when it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testbed::Directory;

/// `testbed` with a cache of its own.
fn testbed(cache: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command.args(args).env("TESTBED_CACHE", cache).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn two_processes_build_a_missing_part_once() {
    let cache = Directory::create("cache").unwrap();
    let building =
        [(), ()].map(|()| testbed(cache.path(), &["path", "prometheus-operator-crds"]).spawn().unwrap());
    let outputs = building.map(|child| child.wait_with_output().unwrap());
    let said = outputs.each_ref().map(text).concat();
    assert!(outputs.iter().all(|output| output.status.success()), "{said}");
    assert_eq!(said.matches("testbed: built prometheus-operator-crds in").count(), 1, "{said}");
    assert_eq!(outputs[0].stdout, outputs[1].stdout);
    let path = String::from_utf8(outputs[0].stdout.clone()).unwrap();
    for kind in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let file = Path::new(path.trim()).join(format!("monitoring.coreos.com_{kind}.yaml"));
        assert!(file.exists(), "{} is missing", file.display());
    }
    let again = testbed(cache.path(), &["build", "prometheus-operator-crds"]).output().unwrap();
    assert_eq!(text(&again), "", "a fresh part was built again");
}

#[test]
fn a_missing_toolchain_is_named() {
    let cache = Directory::create("cache").unwrap();
    let output = testbed(cache.path(), &["build", "etcd"]).env("PATH", cache.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("install Go 1.25.0 or newer"), "{}", text(&output));
}

#[test]
fn a_missing_apt_is_named() {
    let cache = Directory::create("cache").unwrap();
    let output = testbed(cache.path(), &["build", "node-tools"]).env("PATH", cache.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("there is no `apt-get` in PATH"), "{}", text(&output));
}

#[test]
fn an_old_toolchain_is_named() {
    let cache = Directory::create("cache").unwrap();
    fake_go(cache.path(), "echo go version go1.19.3 linux/amd64");
    let output = testbed(cache.path(), &["build", "etcd"]).env("PATH", cache.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("etcd needs Go 1.25.0 or newer"), "{}", text(&output));
}

#[test]
fn a_failed_build_shows_the_end_of_its_log_and_is_tried_again() {
    let cache = Directory::create("cache").unwrap();
    fake_go(
        cache.path(),
        r#"case "$1" in version) echo go version go1.99.0 linux/amd64;; *) echo SECURITY ERROR; exit 1;; esac"#,
    );
    for _ in 0..2 {
        let output = testbed(cache.path(), &["build", "etcd"]).env("PATH", cache.path()).output().unwrap();
        assert!(!output.status.success());
        let said = text(&output);
        for part in ["testbed: building etcd (1 of 1)", "cannot build etcd", "build.log", "SECURITY ERROR"] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
}

/// A program `go` in `directory` that runs a line of shell.
fn fake_go(directory: &Path, script: &str) {
    let go = directory.join("go");
    fs::write(&go, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
}

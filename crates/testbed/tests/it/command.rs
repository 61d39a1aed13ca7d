//! The command `testbed`, as a person uses it.

use std::path::PathBuf;
use std::process::{self, Command};

use testbed::{output, wait_until};

use super::node::{Marks, wait_for_the_end_of};
use crate::{DEADLINE, processes_of};

fn testbed(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command.args(args);
    command
}

/// Ends the cluster when the test fails half-way.
struct Down<'a>(&'a str);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = testbed(&["down", "--name", self.0]).status();
    }
}

/// The line of one cluster in the answer of `testbed status`.
fn status(name: &str) -> Option<String> {
    let all = output(&mut testbed(&["status"])).unwrap();
    all.lines().find(|line| line.split('\t').next() == Some(name)).map(str::to_owned)
}

#[test]
fn up_status_kubeconfig_down() {
    let [one, other] = ["one", "other"].map(|which| format!("it-{which}-{}", process::id()));
    let _cleanup = [Down(&one), Down(&other)];
    let mut directories = Vec::new();
    for name in [&one, &other] {
        let export = output(&mut testbed(&["up", "--name", name])).unwrap();
        let kubeconfig = output(&mut testbed(&["kubeconfig", "--name", name])).unwrap();
        let kubeconfig = kubeconfig.trim();
        assert_eq!(export, format!("export KUBECONFIG='{kubeconfig}'\n"));
        let kubectl = testbed::path(testbed::Part::Kubectl).unwrap();
        let mut config_map = Command::new(kubectl);
        config_map.args(["create", "configmap", name, "--cache-dir"]).env("KUBECONFIG", kubeconfig);
        let directory = PathBuf::from(kubeconfig).parent().unwrap().to_owned();
        output(config_map.arg(directory.join("cache"))).unwrap();
        directories.push(directory);
    }
    for name in [&one, &other] {
        let line = status(name).unwrap();
        let [_, url, version] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(url.starts_with("https://127.0.0.1:"), "{line}");
        assert_eq!(version, "v1.36.3");
    }
    let before = processes_of(&directories[0]);
    assert_eq!(before.len(), 3, "{before:#?}");
    output(&mut testbed(&["up", "--name", &one])).unwrap();
    assert_eq!(processes_of(&directories[0]).len(), 3, "a second `up` started something");

    output(&mut testbed(&["down", "--name", &one])).unwrap();
    assert_eq!(processes_of(&directories[0]), Vec::<String>::new());
    assert!(!directories[0].exists());
    assert_eq!(status(&one), None);
    assert_eq!(processes_of(&directories[1]).len(), 3, "the other cluster was hurt");
    let error = output(&mut testbed(&["kubeconfig", "--name", &one])).unwrap_err().to_string();
    assert!(error.contains(&format!("testbed up --name {one}")), "{error}");

    output(&mut testbed(&["down", "--name", &other])).unwrap();
    assert_eq!(processes_of(&directories[1]), Vec::<String>::new());
    assert!(!directories[1].exists());
}

#[test]
fn down_ends_what_an_interrupted_up_has_left() {
    let name = format!("it-cut-{}", process::id());
    let _cleanup = Down(&name);
    let kubectl = testbed::path(testbed::Part::Kubectl).unwrap();
    let directory = kubectl.ancestors().nth(3).unwrap().join("clusters").join(&name);
    let mut up = testbed(&["up", "--name", &name]).spawn().unwrap();
    wait_until("the first process", DEADLINE, || {
        anyhow::ensure!(up.try_wait()?.is_none(), "`up` has ended");
        Ok((!processes_of(&directory).is_empty()).then_some(()))
    })
    .unwrap();
    up.kill().unwrap();
    up.wait().unwrap();
    assert!(!processes_of(&directory).is_empty(), "the interruption ended the process by itself");
    assert_eq!(status(&name), Some(format!("{name}\t-\tnot running")));

    output(&mut testbed(&["down", "--name", &name])).unwrap();
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(!directory.exists());
}

#[test]
fn a_node_stays_up_until_it_is_taken_down() {
    let name = format!("it-node-{}", process::id());
    let _cleanup = Down(&name);
    output(&mut testbed(&["up", "--node", "--name", &name])).unwrap();
    let kubeconfig = output(&mut testbed(&["kubeconfig", "--name", &name])).unwrap();
    let kubeconfig = PathBuf::from(kubeconfig.trim());
    let kubectl = |arguments: &str| {
        let mut command = Command::new(testbed::path(testbed::Part::Kubectl).unwrap());
        command.args(arguments.split_whitespace()).env("KUBECONFIG", &kubeconfig);
        output(command.env("KUBECACHEDIR", kubeconfig.with_file_name("cache"))).unwrap()
    };
    // The images that profiles need are there: a pod of one of them starts.
    kubectl("run version --image=localhost/collector:testbed --restart=Never -- --version");
    kubectl("wait pod/version --for=jsonpath={.status.phase}=Succeeded --timeout=60s");
    assert!(kubectl("logs version").contains("version"), "{}", kubectl("logs version"));
    assert!(status(&name).unwrap().ends_with("\tv1.36.3"));
    let error = output(&mut testbed(&["up", "--name", &name])).unwrap_err().to_string();
    assert!(error.contains("runs with a node"), "{error}");
    let marks = Marks::of(kubeconfig.parent().unwrap());

    output(&mut testbed(&["down", "--name", &name])).unwrap();
    assert_eq!(status(&name), None);
    wait_for_the_end_of(&[marks]);
}

#[test]
fn wrong_names_are_explained() {
    let error = output(&mut testbed(&["up", "--name", "../outside"])).unwrap_err().to_string();
    assert!(error.contains("cannot be a cluster's name"), "{error}");
    let error = output(&mut testbed(&["path", "kube"])).unwrap_err().to_string();
    assert!(error.contains("kube-controller-manager, kubectl"), "{error}");
}

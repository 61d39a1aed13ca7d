//! Nodes run pods, are apart from each other and from the machine, and leave nothing behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use serde_json::{Value, json};
use testbed::{Directory, Image, Node, Part, http_get, output, wait_until};

use crate::{DEADLINE, HELD, hold, processes_of};

const ROUNDS: usize = 3;

/// What belongs to one node, so that others on this machine do not count.
#[derive(Debug)]
pub(super) struct Marks {
    directory: PathBuf,
    control_group: String,
    /// Of the network and of the processes, as links of `/proc` show them.
    namespaces: BTreeSet<PathBuf>,
}

impl Marks {
    pub(super) fn of(directory: &Path) -> Marks {
        let kubelet: Value =
            serde_json::from_str(&fs::read_to_string(directory.join("kubelet.json")).unwrap()).unwrap();
        let control_group = kubelet["cgroupRoot"].as_str().unwrap().trim_start_matches('/').to_owned();
        let containerd = process_with(&format!("{}/containerd.toml", directory.display())).unwrap();
        let namespaces: BTreeSet<_> = namespaces_of(&containerd).into_iter().collect();
        assert_eq!(namespaces.len(), 2);
        assert!(namespaces.is_disjoint(&namespaces_of("self").into_iter().collect()));
        Marks { directory: directory.to_owned(), control_group, namespaces }
    }

    /// Everything of the node that is still there.
    fn left(&self) -> Vec<String> {
        let mut left = processes_of(&self.directory);
        let inside = |pid: &String| namespaces_of(pid).iter().any(|link| self.namespaces.contains(link));
        left.extend(
            names("/proc").into_iter().filter(inside).map(|pid| format!("process {pid} in its namespaces")),
        );
        let groups = names("/sys/fs/cgroup").into_iter().map(|name| format!("/sys/fs/cgroup/{name}"));
        let groups = groups
            .chain(["/sys/fs/cgroup".to_owned()])
            .map(|group| format!("{group}/{}", self.control_group));
        left.extend(groups.filter(|group| Path::new(group).exists()));
        left.extend(self.directory.exists().then(|| self.directory.display().to_string()));
        left
    }
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn namespaces_of(pid: &str) -> Vec<PathBuf> {
    ["net", "pid"].iter().filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()).collect()
}

fn process_with(argument: &str) -> Option<String> {
    names("/proc").into_iter().find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(argument))
    })
}

/// What everybody on this machine sees: mounts and links.
fn surroundings() -> (BTreeSet<String>, BTreeSet<String>) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    (mounts.lines().map(str::to_owned).collect(), names("/sys/class/net"))
}

/// Waits until nothing is left: the kernel takes its time for the last of a namespace.
pub(super) fn wait_for_the_end_of(marks: &[Marks]) {
    wait_until("nothing to be left of the nodes", DEADLINE, || {
        let left: Vec<_> = marks.iter().flat_map(Marks::left).collect();
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(Some(()))
    })
    .unwrap();
}

#[test]
fn two_at_once_come_and_go_without_a_trace() {
    let before = surroundings();
    for _ in 0..ROUNDS {
        let nodes = thread::scope(|scope| {
            let starting = [(), ()].map(|()| scope.spawn(|| Node::start().unwrap()));
            starting.map(|node| node.join().unwrap())
        });
        assert_eq!(surroundings(), before, "a mount or a link of a node can be seen outside");
        let marks = nodes.each_ref().map(|node| Marks::of(node.control_plane().directory()));
        assert!(marks[0].namespaces.is_disjoint(&marks[1].namespaces));
        assert!(marks.iter().all(|marks| marks.left().len() > 20), "{marks:#?}");
        let [one, other] = nodes;
        one.stop().unwrap();
        output(&mut other.control_plane().kubectl(["get", "--raw", "/readyz"])).unwrap();
        drop(other);
        wait_for_the_end_of(&marks);
        assert_eq!(surroundings(), before);
    }
}

#[test]
fn a_killed_parent_takes_the_pods_along_and_the_rest_is_swept() {
    let (mut parent, directory) = hold("it::node::holds_a_node");
    let marks = Marks::of(&directory);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the processes of the killed parent's node to die", DEADLINE, || {
        let left: Vec<_> = marks.left().into_iter().filter(|left| !left.starts_with('/')).collect();
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(Some(()))
    })
    .unwrap();
    drop(Directory::create("sweeper").unwrap());
    wait_for_the_end_of(&[marks]);
}

#[test]
#[ignore = "the parent that is killed in a_killed_parent_takes_the_pods_along_and_the_rest_is_swept"]
fn holds_a_node() {
    let node = Node::start().unwrap();
    println!("{HELD}{}", node.control_plane().directory().display());
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn pods_use_images_volumes_and_names_and_survive_a_power_failure() {
    let mut node = Node::start().unwrap();
    // The DNS server's image is there already; its health page answers for a pod of ours.
    let image = Image::of_part(Part::Coredns).unwrap();
    let labels = json!({"app": "web"});
    let container = json!({"name": "web", "image": image.name, "args": ["-conf", "/config/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "data", "mountPath": "/data"}]});
    let objects = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"},
         "data": {"Corefile": ".:1053 {\n health :8080\n}\n"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "containers": [container], "volumes": [{"name": "config", "configMap": {"name": "web"}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "web"}}]}}}},
    ]);
    let plane = node.control_plane();
    plane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).unwrap();
    let rollout = ["rollout", "status", "deployment/web", "--timeout=60s"];
    output(&mut plane.kubectl(rollout)).unwrap();
    let answers = |node: &Node| {
        let web = node.forward("default", "web", 80).unwrap();
        wait_until("an answer through the Service", DEADLINE, || {
            let (status, body) = http_get(&format!("{}/health", web.url()))?;
            anyhow::ensure!(status == 200 && body == "OK", "{status} {body}");
            Ok(Some(()))
        })
        .unwrap();
    };
    answers(&node);
    let logs = output(&mut plane.kubectl(["logs", "deployment/web"])).unwrap();
    assert!(logs.contains("CoreDNS"), "{logs}");

    node.restart().unwrap();
    output(&mut node.control_plane().kubectl(rollout)).unwrap();
    answers(&node);
}

#[test]
fn what_the_machine_lacks_is_named_before_anything_is_started() {
    let directory = Directory::create("lacking").unwrap();
    // Where an ordinary user can read it.
    let program = env::temp_dir().join(format!("testbed-for-everybody.{}", std::process::id()));
    fs::copy(env!("CARGO_BIN_EXE_testbed"), &program).unwrap();
    let cache = directory.path().join("cache");
    let up =
        |mut command: Command| command.args(["up", "--node"]).env("TESTBED_CACHE", &cache).output().unwrap();
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
    let mut without_groups = Command::new("unshare");
    without_groups.args(["--mount", "--", "sh", "-c"]);
    without_groups.arg("mount -t tmpfs none /sys/fs/cgroup && exec \"$0\" \"$@\"").arg(&program);
    for (command, lacks) in [(as_nobody, "to run as root"), (without_groups, "control groups")] {
        let answer = up(command);
        let error = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(!answer.status.success());
        assert!(error.contains("this machine cannot run a node. It lacks:"), "{error}");
        assert!(error.contains(lacks), "{error}");
        assert!(!cache.exists(), "something was built or started");
    }
    fs::remove_file(program).unwrap();
}

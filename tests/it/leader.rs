//! Two replicas, one writer, by the API server's audit log: whatever becomes of the one that leads.

mod log;
mod proxy;
mod webhook;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::common::*;
use crate::rights::Installed;
use log::{LEASE, Log};
use proxy::Proxy;

/// The promise to users.
const REPLACED: Duration = Duration::from_secs(20);

/// An installation with a namespace to watch, and somebody who changes its profile all the time, so that there is always something
/// to write.
struct Scene {
    installed: Installed<'static>,
    editor: JoinHandle<()>,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let cluster = shared();
        let client = cluster.client().await;
        let namespace = cluster.namespace(name).await;
        let installed = Installed::new(cluster, name, &[&namespace], |_| {});
        apply_profile(&client, &namespace, "trakt", minimal_spec()).await;
        let api = profiles(&client, &namespace);
        let editor = tokio::spawn(async move {
            for edit in 0.. {
                let change = json!({"spec": {"service": {"version": format!("1.0.{edit}")}}});
                api.patch("trakt", &PatchParams::default(), &Patch::Merge(&change)).await.expect("an edit");
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        });
        Self { installed, editor }
    }

    /// Two replicas: the first, with this kubeconfig, leads, and the second stands by.
    async fn replicas(&self, kubeconfig: &Path) -> (Operator, Operator) {
        let first = replica(&self.installed, kubeconfig, "first", &[]);
        self.writes("first", Instant::now(), DEADLINE).await;
        (first, replica(&self.installed, &self.installed.kubeconfig, "second", &[]))
    }

    /// Waits until this replica has written to a child, which only who leads does.
    async fn writes(&self, pod: &str, after: Instant, deadline: Duration) {
        let before = Log::read(&self.installed).writes(pod).len();
        eventually_within(&format!("{pod} to write"), deadline.saturating_sub(after.elapsed()), || async {
            let log = Log::read(&self.installed);
            if log.writes(pod).len() > before { Ok(()) } else { Err(format!("{log:?}")) }
        })
        .await;
    }

    /// Ends the edits, and looks at all that was written.
    fn judge(self) {
        assert!(!self.editor.is_finished(), "the edits went wrong");
        self.editor.abort();
        let log = Log::read(&self.installed);
        log.has_one_writer_at_a_time();
        eprintln!("{}: handed over in {:?}", self.installed.name, log.handed_over("first", "second"));
    }
}

/// A replica that takes part in the election of its installation.
fn replica(installed: &Installed<'_>, kubeconfig: &Path, pod: &str, arguments: &[&str]) -> Operator {
    let watched: Vec<_> = installed.watched.iter().map(String::as_str).collect();
    let arguments = [&["--leader-election", "--installation", installed.name.name()], arguments].concat();
    let environment = [("POD_NAMESPACE", installed.namespace.as_str()), ("POD_NAME", pod)];
    Operator::start_as(installed.cluster, kubeconfig, &watched, &arguments, &environment, true)
}

fn signal(operator: &Operator, signal: &str) {
    let mut kill = Command::new("kill");
    kill.arg(signal).arg(operator.daemon.id().to_string());
    output(kill);
}

/// The exit code of a process that ends by itself.
async fn ended(operator: &mut Operator) -> Option<i32> {
    let mut code = None;
    eventually_within("the process to end", REPLACED, || {
        code = operator.daemon.exited().expect("a process").map(|status| status.code());
        let seen = code.map(drop).ok_or_else(|| "it runs".to_owned());
        async move { seen }
    })
    .await;
    code.flatten()
}

/// The four ways to lose a leader, side by side: they wait for most of their time.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_writer_whatever_becomes_of_it() {
    tokio::join!(stopped(), killed(), paused(), partitioned());
}

async fn stopped() {
    let scene = Scene::new("lead-stopped").await;
    let (mut first, _second) = scene.replicas(&scene.installed.kubeconfig).await;
    let asked = Instant::now();
    assert_eq!(first.daemon.terminate().expect("it ends").code(), Some(0));
    // It ends within ten seconds, and gives the Lease back at its end.
    scene.writes("second", asked, Duration::from_secs(15)).await;
    let handed = Log::read(&scene.installed).handed_over("first", "second");
    assert!(handed < Duration::from_secs(5), "the Lease was free for {handed:?}");
    scene.judge();
}

async fn killed() {
    let scene = Scene::new("lead-killed").await;
    let (mut first, _second) = scene.replicas(&scene.installed.kubeconfig).await;
    let killed = Instant::now();
    first.daemon.kill().expect("it is killed");
    scene.writes("second", killed, REPLACED).await;
    scene.judge();
}

async fn paused() {
    let scene = Scene::new("lead-paused").await;
    let (mut first, _second) = scene.replicas(&scene.installed.kubeconfig).await;
    let paused = Instant::now();
    signal(&first, "-STOP");
    scene.writes("second", paused, REPLACED).await;
    tokio::time::sleep(Duration::from_secs(60).saturating_sub(paused.elapsed())).await;
    signal(&first, "-CONT");
    assert_eq!(ended(&mut first).await, Some(2), "{:?}", first.log_lines().last());
    let last = first.log_lines().iter().rev().find(|line| line["message"] == "the operator ends").cloned();
    assert!(
        last.as_ref().is_some_and(|line| line["error"].as_str().is_some_and(|error| error.contains("Lease"))),
        "{last:?}"
    );
    scene.judge();
}

async fn partitioned() {
    let scene = Scene::new("lead-cut-off").await;
    let proxy = Proxy::start(&scene.installed).await;
    let (mut first, _second) = scene.replicas(proxy.kubeconfig()).await;
    let cut = Instant::now();
    proxy.cut();
    assert_eq!(ended(&mut first).await, Some(2), "{:?}", first.log_lines().last());
    assert!(cut.elapsed() < LEASE, "it ended after {:?}", cut.elapsed());
    scene.writes("second", cut, REPLACED).await;
    scene.judge();
}

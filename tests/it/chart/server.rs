//! The API server accepts what the chart renders, of every set, and its pods where only restricted ones may run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{ControlPlane, Directory, Part};

use super::{helm, notes, objects, reference, set, sets, text};
use crate::common::output;

/// Where the sets put objects.
const NAMESPACES: [&str; 4] = ["telemetry-system", "observe-system", "media", "shop"];

/// A server that enforces the Pod Security level `restricted`, with the kinds of the Prometheus Operator.
struct Server {
    plane: ControlPlane,
    scratch: Directory,
}

impl Server {
    fn new(plane: ControlPlane) -> Server {
        let definitions = testbed::path(Part::PrometheusOperatorCrds).expect("the definitions");
        let mut apply = plane.kubectl(["apply", "--server-side", "-f"]);
        apply.arg(definitions);
        output(apply);
        for name in NAMESPACES {
            let level = |mode| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted"));
            let labels: serde_json::Map<_, _> = ["enforce", "warn"].map(level).into_iter().collect();
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            plane.apply(&namespace.to_string()).expect("a namespace");
            let account = format!("the default account of {name}");
            testbed::wait_until(&account, Duration::from_secs(30), || {
                testbed::output(&mut plane.kubectl(["get", "serviceaccount", "default", "-n", name]))
                    .map(Some)
            })
            .expect("an account");
        }
        Server { plane, scratch: Directory::create("chart").expect("a directory") }
    }

    /// What Helm renders after it has asked this server what it serves.
    fn template(&self, values: &Path, arguments: &[&str]) -> String {
        let mut command =
            helm(&["template", "telemetry-operator", "--dry-run=server", "--namespace", super::NAMESPACE]);
        command.arg(super::chart()).arg("--values").arg(values).args(arguments);
        command.arg("--kubeconfig").arg(self.plane.kubeconfig());
        output(command)
    }

    /// Standard output and error of a dry run on the server.
    fn dry_run(&self, text: &str) -> Result<(String, String), String> {
        let file = self.scratch.path().join("objects.yaml");
        std::fs::write(&file, text).expect("a file");
        let mut command: Command = self.plane.kubectl(["apply", "--server-side", "--dry-run=server", "-f"]);
        let answer = command.arg(file).output().expect("kubectl runs");
        let [out, error] =
            [answer.stdout, answer.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if answer.status.success() { Ok((out, error)) } else { Err(error) }
    }

    /// A set is accepted without a warning, and so is each pod that its Deployments make.
    fn accepts(&self, values: &Path) -> Vec<Value> {
        let text = self.template(values, &[]);
        let rendered = objects(&text);
        let (out, warnings) =
            self.dry_run(&text).unwrap_or_else(|error| panic!("{}: {error}", values.display()));
        assert_eq!(out.lines().count(), rendered.len(), "{}: {out}", values.display());
        assert_eq!(warnings, "", "{}", values.display());
        let pods: Vec<_> = rendered.iter().filter_map(pod_of).collect();
        assert!(!pods.is_empty(), "{} runs nothing", values.display());
        for pod in pods {
            self.dry_run(&pod.to_string()).unwrap_or_else(|error| panic!("{}: {error}", values.display()));
        }
        rendered
    }
}

/// The pod that a Deployment makes, with an account that is there: a dry run makes none.
fn pod_of(object: &Value) -> Option<Value> {
    let template = (object["kind"] == "Deployment").then(|| &object["spec"]["template"])?;
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["spec"]["serviceAccountName"] = json!("default");
    pod["metadata"]["name"] = json!(format!("{}-pod", text(&object["metadata"]["name"])));
    pod["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
    Some(pod)
}

fn accepts_every_set(plane: ControlPlane, way: &str, other: &str, noted: &str) {
    let server = Server::new(plane);
    let kubeconfig = server.plane.kubeconfig().to_str().expect("a path");
    let notes = notes::install(&["--dry-run=server", "--kubeconfig", kubeconfig]);
    assert!(notes.contains(noted) && !notes.contains("NOTE") && !notes.contains("not asked"), "{notes}");
    for set in sets() {
        server.accepts(&set);
    }
    let kinds: BTreeSet<_> =
        server.accepts(&set("defaults")).iter().map(|object| text(&object["kind"]).to_owned()).collect();
    assert!(kinds.contains(way) && !kinds.contains(other), "{kinds:?}");
    // What must not be accepted is not.
    let loose = server.template(&set("defaults"), &["--set", "podSecurityContext.runAsNonRoot=false"]);
    let pod = objects(&loose).iter().find_map(pod_of).expect("a Deployment");
    let error = server.dry_run(&pod.to_string()).expect_err("a pod that may be root");
    assert!(error.contains("violates PodSecurity \"restricted"), "{error}");
    let wrong = loose.replace("\nspec:\n  replicas: 1", "\nspec:\n  replicaz: 1");
    let error = server.dry_run(&wrong).expect_err("an unknown field");
    assert!(error.contains("replicaz"), "{error}");
    assert!(objects(&loose).iter().any(|object| reference(object) == "Pod/telemetry-operator-test"));
}

#[test]
fn kubernetes_1_36_accepts_every_set() {
    let plane = ControlPlane::start().expect("a control plane");
    accepts_every_set(
        plane,
        "MutatingAdmissionPolicy",
        "MutatingWebhookConfiguration",
        "the API server puts",
    );
}

#[test]
fn kubernetes_1_35_accepts_every_set() {
    let plane = ControlPlane::start_1_35().expect("a control plane");
    accepts_every_set(plane, "MutatingWebhookConfiguration", "MutatingAdmissionPolicy", "the operator puts");
}

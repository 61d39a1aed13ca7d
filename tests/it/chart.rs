//! The Helm chart, by the real Helm: what it renders for each set of values in charts/telemetry-operator/ci.

mod check;
mod files;
mod lifecycle;
mod monitoring;
mod notes;
mod optional;
mod release;
mod rights;
mod schema;
mod score;
mod server;
mod uninstall;

pub use files::readme;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;
use testbed::Directory;

use crate::common::*;

/// The release's namespace.
const NAMESPACE: &str = OPERATOR_NAMESPACE;
/// What Kubernetes 1.36 tells Helm.
const WITH_POLICY: [&str; 2] = ["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/telemetry-operator")
}

/// The files with sets of values.
fn sets() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(chart().join("ci")).expect("the sets");
    let mut sets: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    sets.sort();
    assert!(sets.len() >= 7, "{sets:?}");
    sets
}

fn set(name: &str) -> PathBuf {
    chart().join("ci").join(name).with_extension("yaml")
}

/// Helm with these arguments; it knows no cluster.
fn helm(arguments: &[&str]) -> Command {
    static HOME: OnceLock<Directory> = OnceLock::new();
    let home = HOME.get_or_init(|| Directory::create("helm").expect("a directory"));
    let mut command = testbed::helm(home.path(), None).expect("helm");
    command.args(arguments);
    command
}

/// What `helm template` writes for the release `telemetry-operator`.
fn template(values: &Path, arguments: &[&str]) -> String {
    let mut command = helm(&["template", "telemetry-operator", "--namespace", NAMESPACE]);
    command.arg(chart()).arg("--values").arg(values).args(arguments);
    output(command)
}

/// The objects of a stream of YAML.
fn objects(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|object| !object.is_null())
        .collect()
}

/// What the webhook needs, for the release `telemetry-operator`.
pub fn webhook() -> String {
    template(&set("webhook"), &["--show-only", "templates/webhook.yaml"])
}

fn render(values: &str, arguments: &[&str]) -> Vec<Value> {
    objects(&template(&set(values), arguments))
}

/// Kind and name.
fn reference(object: &Value) -> String {
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The object of this kind and name.
fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let found = objects.iter().find(|object| reference(object) == wanted);
    found.unwrap_or_else(|| {
        panic!("{wanted} is not among {:?}", objects.iter().map(reference).collect::<Vec<_>>())
    })
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    for set in sets() {
        let mut lint = helm(&["lint", "--strict"]);
        lint.arg(chart()).arg("--values").arg(&set);
        let answer = output(lint);
        assert!(answer.contains("0 chart(s) failed"), "{}: {answer}", set.display());
        assert!(!answer.contains("[WARNING]"), "{}: {answer}", set.display());
    }
}

#[test]
fn the_same_values_give_the_same_bytes() {
    for set in sets() {
        assert!(template(&set, &[]) == template(&set, &[]), "{} is rendered in two ways", set.display());
    }
}

#[test]
fn what_the_operator_writes_is_not_rendered() {
    for set in sets() {
        let rendered = template(&set, &[]);
        assert!(!rendered.contains("caBundle"), "{}", set.display());
        for object in objects(&rendered) {
            match text(&object["kind"]) {
                "Secret" => {
                    assert!(object.get("data").is_none() && object.get("stringData").is_none(), "{object}");
                }
                "MutatingWebhookConfiguration" => assert!(object.get("webhooks").is_none(), "{object}"),
                _ => {}
            }
        }
    }
}

//! kube-score on what the chart and the operator make. What it finds is listed with the reason in tests/kube-score.yaml, or is a
//! defect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use testbed::{Directory, Part};

use super::{WITH_POLICY, sets, template, text};
use crate::common::{output, repository_file};

/// The least grade without a finding.
const OK: u64 = 10;

/// A check that some workloads do not pass, and why they need not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    check: String,
    workloads: BTreeSet<String>,
    reason: String,
}

/// The workloads with findings, by check.
type Findings = BTreeMap<String, BTreeSet<String>>;

/// Everything that kube-score finds in these manifests, as check, object, and container or field.
fn findings(manifests: &str) -> Vec<(String, Value, String)> {
    let scratch = Directory::create("kube-score").expect("a directory");
    let file = scratch.path().join("objects.yaml");
    std::fs::write(&file, manifests).expect("a file");
    let mut command = Command::new(testbed::path(Part::KubeScore).expect("kube-score"));
    command.args(["score", "--output-format=json", "--kubernetes-version=v1.36"]).arg(file);
    // It ends with 1 when it has found something.
    let answer = command.output().expect("kube-score runs");
    let objects: Vec<Value> = serde_json::from_slice(&answer.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer.stderr)));
    objects.iter().flat_map(of_object).collect()
}

fn of_object(object: &Value) -> Vec<(String, Value, String)> {
    let checks = object["checks"].as_array().expect("checks").iter();
    let failed = checks.filter(|check| check["skipped"] == false && check["grade"].as_u64() < Some(OK));
    let finding = |check: &Value| {
        let id = text(&check["check"]["id"]).to_owned();
        let comments = check["comments"].as_array().cloned().unwrap_or_default();
        let path = move |comment: Value| (id.clone(), object.clone(), text(&comment["path"]).to_owned());
        comments.into_iter().map(path).collect::<Vec<_>>()
    };
    failed.flat_map(finding).collect()
}

/// What a workload is: the component where the operator makes it.
fn workload(object: &Value) -> String {
    let labels = &object["object_meta"]["labels"];
    let component = labels["app.kubernetes.io/component"].as_str();
    let name = labels["app.kubernetes.io/name"].as_str();
    component.or(name).unwrap_or_else(|| text(&object["object_name"])).to_owned()
}

fn add(found: &mut Findings, manifests: &str) {
    for (check, object, _) in findings(manifests) {
        found.entry(check).or_default().insert(workload(&object));
    }
}

fn examples() -> Vec<String> {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("examples");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files
        .map(|file| {
            let mut render = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
            render.args(["render", "--namespace=demo", "--file"]).arg(file);
            output(render)
        })
        .collect()
}

/// What kube-score finds in an injected pod that it does not find in the same pod without its sidecar.
fn of_sidecar() -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/exporter/kubernetes.yaml");
    let profile = manifest.with_file_name("../export-trakt-4-letterboxd.yaml");
    let mut inject = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    inject.arg("inject").arg("--file").arg(&manifest).arg("--profile").arg(profile);
    let injected = output(inject);
    assert!(injected.contains("name: telemetry-sidecar"), "{injected}");
    let plain = |manifests: &str| {
        let all = findings(manifests).into_iter();
        all.map(|(check, object, path)| format!("{check} {} {path}", object["object_name"]))
            .collect::<BTreeSet<_>>()
    };
    let without = plain(&std::fs::read_to_string(manifest).expect("the manifest"));
    let added = findings(&injected).into_iter();
    added
        .filter(|(check, object, path)| {
            !without.contains(&format!("{check} {} {path}", object["object_name"]))
        })
        .map(|(check, _, _)| check)
        .collect()
}

#[test]
fn what_kube_score_finds_has_a_reason() {
    let mut found = Findings::new();
    for set in sets() {
        add(&mut found, &template(&set, &WITH_POLICY));
    }
    for example in examples() {
        add(&mut found, &example);
    }
    for check in of_sidecar() {
        found.entry(check).or_default().insert("telemetry-sidecar".to_owned());
    }
    let exceptions: Vec<Exception> =
        serde_yaml::from_str(&repository_file("tests/kube-score.yaml")).expect("the exceptions");
    assert!(exceptions.iter().all(|exception| exception.reason.len() > 20));
    let allowed: Findings =
        exceptions.into_iter().map(|exception| (exception.check, exception.workloads)).collect();
    assert_eq!(found, allowed, "left: found, right: tests/kube-score.yaml");
}

//! `inject` and `uninject`: the real binary between two pipes, and what the API server and kubectl make of its output.

use serde_json::{Value, json};

use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::yaml;

use crate::cli::{documents, run, succeed, texts};
use crate::common::*;
use crate::injection::{injected, table};

/// Words that a reader of YAML takes for something else when they lose their quotes.
const WORDS: [&str; 12] =
    ["on", "no", "y", "~", "null", "1e3", "0x1F", "017", "1_000", "12:30:00", "1.0", "- a: b #c\n\ttab '\""];

fn profile(name: &str, app: &str) -> Value {
    json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}, "service": {"name": "shop", "version": "1"}}})
}

/// A pod's spec that Pod Security "restricted" admits.
fn pod_spec() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [container("prepare")],
        "containers": [container("web"), container("other")],
        "restartPolicy": "Always",
    })
}

fn container(name: &str) -> Value {
    json!({"name": name, "image": "example.com/web:1", "env": [{"name": "WORDS", "value": WORDS.join(" ")}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "shop"}, "annotations": WORDS.map(|word| (format!("w{}", word.len()), word))
        .into_iter().collect::<std::collections::BTreeMap<_, _>>()}, "spec": pod_spec()})
}

/// One object of each kind that makes pods, and the place of its template.
fn workloads() -> Vec<(Value, &'static str)> {
    let selector = json!({"matchLabels": {"app": "shop"}});
    let job = || {
        let mut template = template();
        template["spec"]["restartPolicy"] = json!("Never");
        json!({"template": template})
    };
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "shop"}, "spec": spec});
    let mut pod = object("v1", "Pod", pod_spec());
    pod["metadata"] = json!({"generateName": "shop-", "labels": {"app": "shop"}});
    vec![
        (pod, ""),
        (
            object("apps/v1", "Deployment", json!({"selector": selector, "template": template()})),
            "/spec/template",
        ),
        (
            object("apps/v1", "ReplicaSet", json!({"selector": selector, "template": template()})),
            "/spec/template",
        ),
        (
            object(
                "apps/v1",
                "StatefulSet",
                json!({"serviceName": "shop", "selector": selector, "template": template()}),
            ),
            "/spec/template",
        ),
        (
            object("apps/v1", "DaemonSet", json!({"selector": selector, "template": template()})),
            "/spec/template",
        ),
        (
            object(
                "v1",
                "ReplicationController",
                json!({"selector": {"app": "shop"}, "template": template()}),
            ),
            "/spec/template",
        ),
        (object("batch/v1", "Job", job()), "/spec/template"),
        (
            object("batch/v1", "CronJob", json!({"schedule": "0 3 * * *", "jobTemplate": {"spec": job()}})),
            "/spec/jobTemplate/spec/template",
        ),
        (
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "shop"}, "template": template()}),
            "/template",
        ),
    ]
}

fn stream(documents: &[Value]) -> String {
    let texts: Vec<_> = documents.iter().map(|document| yaml::to_string(document).expect("YAML")).collect();
    texts.join("---\n")
}

/// Standard output and standard error of a run that ends with this code.
fn pipe(arguments: &[&str], input: &str, code: i32) -> (String, String) {
    let output = run(arguments, Some(input));
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn same(what: &str, found: &[Value], wanted: &[Value]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found == wanted, "{what}: {}: {}", wanted["kind"], json_patch::diff(wanted, found));
    }
}

fn has_sidecar(pod: &Value) -> bool {
    pod["spec"]["initContainers"][0]["name"] == "telemetry-sidecar"
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_that_makes_pods_is_injected_once_and_restored() {
    let input: Vec<_> =
        std::iter::once(profile("trakt", "shop")).chain(workloads().into_iter().map(|(w, _)| w)).collect();
    let text = stream(&input);
    let (out, notes) = pipe(&["inject", "-f", "-"], &text, 0);
    let injected = documents(&out);
    assert_eq!(injected.len(), input.len());
    assert_eq!(injected[0], input[0]);
    for ((workload, place), injected) in workloads().iter().zip(&injected[1..]) {
        let template = injected.pointer(place).expect("the template");
        assert!(has_sidecar(template), "{injected:#}");
        assert_eq!(template["metadata"]["labels"]["telemetry-operator.dev/sidecar"], "trakt");
        assert_eq!(template["metadata"]["ownerReferences"], Value::Null);
        let note = format!("{}/shop", workload["kind"].as_str().expect("a kind"));
        assert!(
            notes
                .lines()
                .any(|line| line.starts_with(&note) && line.ends_with(": injected by profile trakt")),
            "{notes}"
        );
    }

    let (again, notes) = pipe(&["inject", "-f", "-"], &out, 0);
    assert_eq!(again, out, "a second injection changes nothing");
    assert_eq!(
        notes.lines().filter(|line| line.ends_with(": has its sidecar already")).count(),
        workloads().len(),
        "{notes}"
    );
    let (restored, notes) = pipe(&["uninject", "-f", "-"], &out, 0);
    same("what is restored", &documents(&restored), &input);
    assert_eq!(
        notes.lines().filter(|line| line.ends_with(": the sidecar was taken out")).count(),
        workloads().len(),
        "{notes}"
    );

    // The API server takes all of it, in a namespace in which only restricted pods may run.
    let cluster = shared();
    let namespace = cluster.namespace("pipe").await;
    let file = cluster.plane.directory().join(format!("{namespace}.yaml"));
    std::fs::write(&file, &out).expect("the file");
    let file = file.to_str().expect("a path");
    let server = ["create", "--dry-run=server", "-n", &namespace, "-o", "name", "-f", file];
    let mut create = cluster.plane.kubectl(server);
    let created = create.output().expect("kubectl");
    let complaints = String::from_utf8_lossy(&created.stderr).into_owned();
    assert!(created.status.success() && !complaints.contains("PodSecurity"), "{complaints}");
    assert_eq!(String::from_utf8_lossy(&created.stdout).lines().count(), input.len());
}

/// The same table as for the policy and the patch.
#[test]
fn the_table_of_pods_comes_out_as_by_the_other_ways() {
    let profiles: Vec<_> = table::profiles()
        .into_iter()
        .map(|(name, spec)| {
            let mut profile = profile(name, "");
            profile["spec"] = spec;
            profile
        })
        .collect();
    let typed: Vec<TelemetryProfile> =
        profiles.iter().map(|profile| serde_json::from_value(profile.clone()).expect("a profile")).collect();
    let rows = table::rows();
    let pods: Vec<_> = rows.iter().map(|row| row.pod.clone()).collect();
    let text = stream(&profiles.iter().chain(&pods).cloned().collect::<Vec<_>>());
    let refused = rows.iter().any(|row| matches!(row.expect, table::Expect::Refused(_)));
    let (out, notes) = pipe(&["inject", "-f", "-"], &text, i32::from(refused));
    assert!(!out.is_empty(), "{notes}");
    let found = documents(&out).split_off(profiles.len());
    let restored = documents(&pipe(&["uninject", "-f", "-"], &out, 0).0).split_off(profiles.len());
    assert_eq!((found.len(), restored.len()), (rows.len(), rows.len()), "{notes}");
    for ((row, found), restored) in rows.iter().zip(&found).zip(&restored) {
        same(row.name, std::slice::from_ref(found), &[injected(&typed, &row.pod).0]);
        if !row.name.starts_with("empty ") && !row.name.contains("claims a sidecar") {
            same(row.name, std::slice::from_ref(restored), std::slice::from_ref(&row.pod));
        }
    }
}

#[test]
fn kubectl_reads_injected_documents_as_they_were_meant() {
    let (workload, _) = workloads().swap_remove(1);
    let profile_file = testbed::Directory::create("pipe").expect("a directory");
    let path = profile_file.path().join("profile.yaml");
    std::fs::write(&path, profile("trakt", "shop").to_string()).expect("the file");
    let (out, _) =
        pipe(&["inject", "-f", "-", "--profile", path.to_str().expect("a path")], &workload.to_string(), 0);
    assert!(out.starts_with("{\n"), "JSON stays JSON: {out}");
    let json = documents(&out).swap_remove(0);
    let (out, _) = pipe(
        &["inject", "-f", "-", "--profile", path.to_str().expect("a path")],
        &yaml::to_string(&workload).expect("YAML"),
        0,
    );
    same("from YAML as from JSON", &documents(&out), std::slice::from_ref(&json));
    let file = profile_file.path().join("out.yaml");
    std::fs::write(&file, &out).expect("the file");
    let read = crate::cli::read_by_kubectl(&file);
    let mut read: Value = serde_json::from_str(&read).expect("JSON");
    read["metadata"].as_object_mut().expect("a map").remove("namespace");
    same("read by kubectl", &[read], &[json]);
}

#[test]
fn what_is_not_selected_comes_out_byte_for_byte() {
    let others = "# of the licence\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: words # on\ndata:\n  on: \"on\"\n  x: &a 0x1F\n  \
                  y: *a\n---\n# nothing\n---\n{kind: List, items: []}\n---\nnot: [an, object]\n";
    let mut pod = workloads().swap_remove(0).0;
    pod["metadata"]["labels"]["app"] = json!("other");
    let text = format!("{others}---\n{}", stream(&[profile("trakt", "shop"), pod.clone()]));
    let (out, notes) = pipe(&["inject", "-f", "-"], &text, 0);
    assert_eq!(out, text);
    assert_eq!(notes, "Pod/shop-: no profile of namespace default selects it\n");

    // In a namespace of its own, the profile does not select this one.
    let mut elsewhere = workloads().swap_remove(1).0;
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    let text = format!("{others}---\n{}", stream(&[profile("trakt", "shop"), elsewhere]));
    let (out, notes) = pipe(&["inject", "-f", "-", "-n", "media"], &text, 0);
    assert_eq!(out, text);
    assert_eq!(notes, "Deployment/shop: no profile of namespace elsewhere selects it\n");

    // Of a list, only the items that are selected change.
    let mut chosen = pod.clone();
    chosen["metadata"]["labels"]["app"] = json!("shop");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod, profile("trakt", "shop"), chosen]});
    let (out, _) = pipe(&["inject", "-f", "-"], &format!("{others}---\n{list}"), 0);
    let rest = out.strip_prefix(others).expect("the other documents stay as they are");
    let found = documents(rest).swap_remove(0);
    assert_eq!((&found["items"][0], &found["items"][1]), (&list["items"][0], &list["items"][1]));
    assert!(has_sidecar(&found["items"][2]) && !has_sidecar(&list["items"][2]));
    assert_eq!(documents(&pipe(&["uninject", "-f", "-"], rest, 0).0), [list]);
}

#[test]
fn what_cannot_be_done_is_told() {
    let pod = workloads().swap_remove(0).0;
    let profile = profile("trakt", "shop");
    let changed = |path: &str, value: Value| {
        let mut pod = pod.clone();
        *path.split('/').skip(1).fold(&mut pod, |value, key| &mut value[key]) = value;
        pod
    };
    // The others are injected all the same.
    let host = changed("/spec/hostNetwork", json!(true));
    let out = changed("/metadata/labels/telemetry-operator.dev~inject", json!("false"));
    let out = serde_json::from_str(
        &out.to_string().replace("telemetry-operator.dev~inject", "telemetry-operator.dev/inject"),
    )
    .expect("JSON");
    let input = [profile.clone(), host.clone(), out, pod.clone()];
    let (text, notes) = pipe(&["inject", "-f", "-"], &stream(&input), 1);
    let found = documents(&text);
    assert_eq!(found[..3], input[..3]);
    assert!(has_sidecar(&found[3]));
    let notes: Vec<_> = notes.lines().collect();
    assert!(
        notes[0].starts_with("Pod/shop-: selected by profile trakt, but refused: HostNetwork: "),
        "{notes:?}"
    );
    assert_eq!(notes[1], "Pod/shop-: opts out by its label telemetry-operator.dev/inject");
    assert_eq!(notes[2], "Pod/shop-: injected by profile trakt");

    let twice = format!(
        "{}---\n{}spec: {{}}\n",
        stream(std::slice::from_ref(&profile)),
        yaml::to_string(&pod).expect("YAML")
    );
    let invalid = stream(&[
        json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": "x"}, "spec": {"selector": {}}}),
        pod.clone(),
    ]);
    for (input, told) in [
        (stream(&[pod]), "error: no TelemetryProfile is in these files: name its file by --profile"),
        ("a: [".to_owned(), "TP0001"),
        ("a: 1\n---\nb: {".to_owned(), "<stdin>:3: TP0001"),
        (invalid, "TP0103 spec.service"),
        (twice, "the key spec stands twice"),
    ] {
        let (out, err) = pipe(&["inject", "-f", "-"], &input, 1);
        assert!(out.is_empty() && err.contains(told), "{told}: {out}{err}");
    }
    for wrong in [
        &["inject"][..],
        &["inject", "-f", "/nonexistent"],
        &["uninject"],
        &["inject", "-f", "-", "--profile", "/nonexistent"],
    ] {
        let (out, err) = pipe(wrong, "", 2);
        assert!(out.is_empty() && !err.is_empty(), "{out}{err}");
    }
    assert_eq!(succeed(&["uninject", "-f", "-"], Some("")), "");
}

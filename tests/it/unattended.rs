//! Pods that are made while no operator runs: all of them are injected by the API server, and `explain` says so.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::common::*;
use crate::injection::{pods, wait_for_policy};

/// Deployments and the pods of each.
const DEPLOYMENTS: usize = 5;
const REPLICAS: usize = 40;

fn deployment(name: &str, replicas: usize) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"deployment": name}},
        "template": {"metadata": {"labels": {"app": "shop", "deployment": name}}, "spec": pod_spec()}}})
}

fn pod_spec() -> Value {
    json!({
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "image": "example.com/web:1",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    })
}

fn profile_spec() -> Value {
    json!({"selector": {"matchLabels": {"app": "shop"}}, "service": {"name": "shop"}})
}

/// The operator's answer about an object, by an administrator's kubeconfig.
fn explain(arguments: &[&str], code: i32) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    command.arg("explain").args(arguments).env("KUBECONFIG", shared().plane.kubeconfig());
    let output = command.output().expect("the binary runs");
    let (out, err) = crate::cli::texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}{err}");
    out + &err
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pods_of_two_hundred_are_injected_without_an_operator() {
    let cluster = shared();
    let client = cluster.client().await;
    // The policy itself is older than any pod.
    let warm = cluster.namespace("warm").await;
    apply_profile(
        &client,
        &warm,
        "thrift",
        json!({"selector": {"matchLabels": {"app": "thrift"}}, "service": {"name": "t"}}),
    )
    .await;
    wait_for_policy(&client, &warm).await;

    let namespace = cluster.namespace("unattended").await;
    apply_profile(&client, &namespace, "trakt", profile_spec()).await;
    let deployments: Vec<_> =
        (0..DEPLOYMENTS).map(|number| deployment(&format!("web-{number}"), REPLICAS)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": deployments});
    cluster.plane.apply_in(Some(&namespace), &list.to_string()).expect("the Deployments");
    let api = pods(&client, &namespace);
    let wanted = DEPLOYMENTS * REPLICAS;
    let found = eventually(&format!("{wanted} pods"), || async {
        let found = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        if found.len() == wanted { Ok(found) } else { Err(format!("{} pods", found.len())) }
    })
    .await;
    let mut owners = BTreeSet::new();
    for pod in &found {
        let pod = serde_json::to_value(pod).expect("JSON");
        assert_eq!(pod["spec"]["initContainers"][0]["name"], "telemetry-sidecar", "{pod}");
        assert_eq!(pod["metadata"]["labels"]["telemetry-operator.dev/sidecar"], "trakt");
        let variables = pod["spec"]["containers"][0]["env"].to_string();
        let deployment = pod["metadata"]["labels"]["deployment"].as_str().expect("a label");
        assert!(variables.contains(&format!("k8s.deployment.name={deployment}")), "{variables}");
        owners.insert(pod["metadata"]["ownerReferences"][0]["name"].to_string());
    }
    assert_eq!(owners.len(), DEPLOYMENTS, "{owners:?}");
    // Nobody has looked at the profile yet.
    let api: Api<telemetry_operator::profile::TelemetryProfile> = profiles(&client, &namespace);
    assert_eq!(api.get("trakt").await.expect("the profile").status, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_the_cluster_has() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("explain").await;
    let name = namespace.as_str();
    let api = pods(&client, name);
    let create = async |pod_name: &str, labels: Value| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod_name, "labels": labels}, "spec": pod_spec()});
        api.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod"))
            .await
            .expect("it is made")
    };
    create("early", json!({"app": "shop"})).await;
    apply_profile(&client, name, "trakt", profile_spec()).await;
    apply_profile(
        &client,
        name,
        "thrift",
        json!({"selector": {"matchLabels": {"app": "thrift"}}, "service": {"name": "t"}}),
    )
    .await;
    wait_for_policy(&client, name).await;
    create("late", json!({"app": "shop"})).await;
    create("out", json!({"app": "shop", "telemetry-operator.dev/inject": "false"})).await;
    create("other", json!({"app": "db"})).await;
    cluster.plane.apply_in(Some(name), &deployment("web", 1).to_string()).expect("the Deployment");

    let way = "way      the API server injects by the admission policy, also without a running operator\n";
    let head = |object: &str, verdict: &str| format!("{object} in namespace {name}: {verdict}\n");
    let early = explain(&["pod", "early", "-n", name], 1);
    assert!(early.starts_with(&head("Pod/early", "Missing")) && early.contains(way), "{early}");
    assert!(early.ends_with("to do    delete the pod and create it again\n"), "{early}");
    let late = explain(&["pod/late", "-n", name], 0);
    assert!(late.starts_with(&(head("Pod/late", "Injected") + "profile  trakt\n")), "{late}");
    assert!(explain(&["po", "out", "-n", name], 0).starts_with(&head("Pod/out", "OptedOut")));
    let other = explain(&["pods", "other", "-n", name], 0);
    assert!(other.starts_with(&head("Pod/other", "NotSelected")), "{other}");
    assert!(
        other.contains("not      trakt: the pod's label app is \"db\", and it selects \"shop\"\n"),
        "{other}"
    );
    let web = explain(&["deploy", "web", "-n", name], 0);
    assert!(web.starts_with(&head("Deployment/web", "WouldBeInjected")), "{web}");

    let json: Value =
        serde_json::from_str(&explain(&["pod", "early", "-n", name, "-o", "json"], 1)).expect("JSON");
    let told = &json[0];
    assert_eq!(
        (&told["name"], &told["verdict"], &told["profile"], &told["way"]["way"], &told["way"]["works"]),
        (&json!("early"), &json!("Missing"), &json!("trakt"), &json!("Policy"), &json!(true))
    );
    assert_eq!(told["profiles"].as_array().map(Vec::len), Some(2));

    // A manifest, against the cluster's profiles.
    let file = cluster.plane.directory().join(format!("{name}.yaml"));
    std::fs::write(&file, deployment("new", 2).to_string()).expect("the file");
    let file = file.to_str().expect("a path");
    let new = explain(&["-f", file, "-n", name], 0);
    assert!(new.starts_with(&head("Deployment/new", "WouldBeInjected")) && new.contains(way), "{new}");
    // And without the cluster.
    let profile = json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": "mine"}, "spec": profile_spec()});
    let profile_file = cluster.plane.directory().join(format!("{name}-profile.yaml"));
    std::fs::write(&profile_file, profile.to_string()).expect("the file");
    let alone = crate::cli::succeed(
        &["explain", "-f", file, "--profile", profile_file.to_str().expect("a path")],
        None,
    );
    assert!(
        alone.contains("profile  mine\n")
            && alone.contains("way      cannot be told: no cluster was asked\n"),
        "{alone}"
    );

    what_the_pipe_injects_is_as_the_admission_has_it(&client, name, profile_file.to_str().expect("a path"))
        .await;

    for (wrong, told) in [
        (&["pod", "nobody", "-n", name][..], "error: Pod/nobody in namespace"),
        (&["service", "web", "-n", name], "error: service web: write KIND NAME"),
        (&["web", "-n", name], "error: web: write KIND NAME"),
        (&["pod"], "error: pod: write KIND NAME"),
        (&[], "required"),
        (&["pod", "x", "-f", file], "cannot be used with"),
    ] {
        let said = explain(wrong, 2);
        assert!(said.contains(told), "{said}");
    }
}

/// Templates that went through the pipe make pods with the same sidecar that the API server would give them.
async fn what_the_pipe_injects_is_as_the_admission_has_it(
    client: &kube::Client,
    namespace: &str,
    profile: &str,
) {
    let template = json!({"metadata": {"labels": {"app": "shop", "piped": "yes"}}, "spec": pod_spec()});
    let selector = json!({"matchLabels": {"piped": "yes"}});
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "piped"}, "spec": spec});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        object("apps/v1", "Deployment", json!({"selector": selector, "template": template})),
        object("apps/v1", "StatefulSet", json!({"selector": selector, "serviceName": "x", "template": template})),
    ]});
    // Its profile is called as the one in the cluster.
    let text = std::fs::read_to_string(profile).expect("the profile").replace("\"mine\"", "\"trakt\"");
    let output = crate::cli::run(&["inject", "-n", namespace, "-f", "-"], Some(&format!("{text}\n{list}")));
    let (out, notes) = crate::cli::texts(&output);
    assert_eq!(notes.matches(": injected by profile trakt\n").count(), 2, "{notes}");
    shared().plane.apply_in(Some(namespace), &out).expect("what was injected");
    let api = pods(client, namespace);
    let found = eventually("a pod of each piped workload", || async {
        let found = api
            .list(&ListParams::default().labels("piped=yes"))
            .await
            .map_err(|error| error.to_string())?
            .items;
        if found.len() == 2 { Ok(found) } else { Err(format!("{} pods", found.len())) }
    })
    .await;
    for pod in found {
        let name = pod.metadata.name.expect("a name");
        let told = explain(&["pod", &name, "-n", namespace], 0);
        assert!(
            told.starts_with(&format!("Pod/{name} in namespace {namespace}: Injected\nprofile  trakt\n")),
            "{told}"
        );
    }
}

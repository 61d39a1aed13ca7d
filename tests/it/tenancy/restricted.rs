//! Pod Security: the real API server admits every pod that a profile brings in a namespace that enforces "restricted", and
//! refuses it as soon as one of the fields that make it so is gone.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};
use telemetry_operator::settings::Settings;

use super::{APPLICATION, Base, bases};
use crate::common::*;
use crate::injection::dry_run;

/// What makes a pod restricted; each is taken away alone, from the pod and from all its containers.
const NEEDED: [&str; 4] = ["runAsNonRoot", "seccompProfile", "allowPrivilegeEscalation", "capabilities"];

/// The pods of a base, by component. Whatever holds containers is a pod's spec, in objects of kinds to come as well.
fn pods(base: &Base, namespace: &str) -> BTreeMap<String, Value> {
    let mut profile = base.profile.clone();
    for workload in ["collector", "jaeger"] {
        // The API server knows a priority class when it admits a pod.
        profile["spec"][workload]["priorityClassName"] = json!("system-cluster-critical");
    }
    let objects = base.objects(&profile, namespace).unwrap_or_else(|error| panic!("{}: {error}", base.name));
    let mut found = BTreeMap::new();
    for (reference, object) in objects {
        collect(&reference, &object, &mut found);
    }
    found
}

fn collect(reference: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    if value["spec"]["containers"].is_array() {
        let mut metadata = json!({"name": "pod"});
        for field in ["labels", "annotations"] {
            if !value["metadata"][field].is_null() {
                metadata[field] = value["metadata"][field].clone();
            }
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": value["spec"]});
        found.insert(reference.to_owned(), pod);
    }
    for part in value.as_object().into_iter().flat_map(|map| map.values()) {
        collect(reference, part, found);
    }
}

/// The pod without this field, wherever it stands.
fn without(value: &Value, field: &str) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| *key != field)
            .map(|(key, value)| (key.clone(), without(value, field)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(|item| without(item, field)).collect(),
        other => other.clone(),
    }
}

/// Why the API server's Pod Security refuses the pod; nothing when it is admitted.
async fn refusal(client: &Client, namespace: &str, pod: &Value) -> Option<String> {
    match dry_run(client, namespace, pod).await {
        Ok(_) => None,
        Err(error) if error.to_string().contains("violates PodSecurity \"restricted") => {
            Some(error.to_string())
        }
        Err(error) => panic!("refused for another reason: {error}: {pod}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generated_pod_is_admitted_and_needs_each_of_its_restrictions() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("pods").await;
    let mut components = BTreeSet::new();
    for base in bases() {
        for (reference, pod) in pods(&base, &namespace) {
            let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": account, "namespace": namespace}});
            cluster.plane.apply(&object.to_string()).expect("the account is accepted");
            if pod["spec"]["automountServiceAccountToken"] != false {
                // Only a program that the administrator chose is given a token.
                let image = &pod["spec"]["containers"][0]["image"];
                assert_eq!(image, Settings::default().prometheus_image.as_str(), "{reference}");
            }
            let admitted = refusal(&client, &namespace, &pod).await;
            assert_eq!(admitted, None, "{}: {reference}", base.name);
            let loosened = futures::stream::iter(NEEDED)
                .map(|field| {
                    let pod = without(&pod, field);
                    let (client, namespace) = (&client, &namespace);
                    async move { (field, refusal(client, namespace, &pod).await) }
                })
                .buffered(NEEDED.len());
            for (field, refused) in loosened.collect::<Vec<_>>().await {
                let why = refused.unwrap_or_else(|| panic!("{reference} is admitted without {field}"));
                assert!(why.contains(field), "{reference} without {field}: {why}");
            }
            components.insert(reference);
        }
    }
    let expected = ["everything-collector", "everything-jaeger", "everything-prometheus"];
    let mut expected: BTreeSet<_> = expected.map(|name| format!("Deployment/{name}")).into();
    expected.insert(APPLICATION.to_owned());
    assert_eq!(components, expected);
}

/// The pod with the sidecar loses its level by what is taken from the sidecar alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_needs_each_of_its_restrictions() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("sidecar-pod").await;
    let base = bases().swap_remove(0);
    let pod = pods(&base, &namespace).remove(APPLICATION).expect("the application's pod");
    assert_eq!(refusal(&client, &namespace, &pod).await, None);
    for field in ["allowPrivilegeEscalation", "capabilities"] {
        let mut loosened = pod.clone();
        let sidecar = &mut loosened["spec"]["initContainers"][0];
        assert_eq!(sidecar["name"], "telemetry-sidecar");
        *sidecar = without(sidecar, field);
        let why = refusal(&client, &namespace, &loosened).await.expect("refused");
        assert!(why.contains("telemetry-sidecar"), "{field}: {why}");
    }
}

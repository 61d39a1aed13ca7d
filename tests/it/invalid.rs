//! Invalid profiles: the real API server refuses each with the field's path, `validate` finds each at the same path, and
//! afterwards the profile can still be edited and deleted.

mod bounds;
mod table;

use std::collections::{BTreeMap, BTreeSet};

pub use bounds::field_path;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use telemetry_operator::{lint, profile};

use crate::common::*;

/// A broken profile.
pub struct Case {
    /// What in the schema it breaks, if it was made for one constraint: `path keyword`.
    constraint: Option<String>,
    /// The field that the refusal names.
    path: String,
    /// What `validate` says.
    code: &'static str,
    /// What the API server's cause contains.
    refusal: String,
    body: Value,
}

/// The base with some fields changed.
fn set(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut body = base.clone();
    for (pointer, value) in changes {
        let mut at = &mut body;
        for part in pointer.trim_start_matches('/').split('/') {
            let part = part.replace("~1", "/");
            at = match part.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[part],
            };
        }
        *at = value.clone();
    }
    body
}

fn base() -> Value {
    serde_yaml::from_str(&repository_file("examples/everything-on.yaml")).expect("the example")
}

fn schema() -> Value {
    let crd = profile::crd().expect("the CRD");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The API server's refusal as (field, reason and message), or nothing when it accepts. Nothing is stored.
pub async fn refusal(client: &Client, namespace: &str, body: &Value) -> Vec<(String, String)> {
    let url = format!(
        "/apis/telemetry-operator.dev/v1alpha1/namespaces/{namespace}/telemetryprofiles?dryRun=All&fieldValidation=Strict"
    );
    let request = http::Request::post(url).header("Content-Type", "application/json");
    let request = request.body(serde_json::to_vec(body).expect("JSON")).expect("a request");
    match client.request::<Value>(request).await {
        Ok(_) => Vec::new(),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.clone().map(|details| details.causes).unwrap_or_default();
            let mut found: Vec<_> = causes
                .into_iter()
                .map(|cause| (cause.field, format!("{}: {}", cause.reason, cause.message)))
                .collect();
            // Unknown fields come as one sentence: strict decoding error: unknown field "a", unknown field "b".
            let mut unknown = status.message.split("unknown field \"").skip(1);
            found.extend(unknown.by_ref().filter_map(|rest| {
                rest.split('"').next().map(|field| (field.to_owned(), "unknown field".to_owned()))
            }));
            assert!(!found.is_empty(), "a refusal without causes: {status:?}");
            found
        }
        Err(error) => panic!("the API server does not answer: {error}"),
    }
}

/// What is wrong with how a case is treated; empty when all is well.
async fn examine(client: &Client, namespace: &str, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let what = case.constraint.clone().unwrap_or_else(|| case.path.clone());
    let refused = refusal(client, namespace, &case.body).await;
    if !refused.iter().any(|(field, why)| *field == case.path && why.contains(&case.refusal)) {
        wrong.push(format!(
            "{what}: the API server should refuse {} with {:?}, it says {refused:?}",
            case.path, case.refusal
        ));
    }
    let found = lint::lint("case.json", &serde_json::to_string_pretty(&case.body).expect("JSON"));
    if !found.iter().any(|finding| finding.path == case.path && finding.code == case.code) {
        wrong.push(format!("{what}: validate should say {} at {}, it says {found:#?}", case.code, case.path));
    }
    // Offline names no field that is in order. Online may name more: after a broken bound it still tries some rules.
    let online: BTreeSet<_> =
        refused.iter().map(|(field, _)| field.as_str()).filter(|field| *field != "<nil>").collect();
    let offline: BTreeSet<_> = found.iter().map(|finding| finding.path.as_str()).collect();
    if !offline.is_subset(&online) || (case.code == "TP0201" && online != offline) {
        wrong.push(format!("{what}: refused at {online:?}, found at {offline:?}"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_constraint_of_the_schema_is_enforced_and_found_offline() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("bounds").await;
    let (schema, base) = (schema(), base());
    let cases = bounds::cases(&schema, &base);
    let covered: BTreeSet<_> = cases.iter().filter_map(|case| case.constraint.clone()).collect();
    let missing: Vec<_> =
        bounds::constraints(&schema).into_iter().filter(|constraint| !covered.contains(constraint)).collect();
    assert!(missing.is_empty(), "no case breaks {missing:#?}");
    assert!(cases.len() > 300, "only {} cases", cases.len());

    let mut wrong = Vec::new();
    for case in cases.iter().chain(&table::texts(&base)) {
        wrong.extend(examine(&client, &namespace, case).await);
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Effective field path without indices, and message of each rule; true for rules about a change.
fn rules(schema: &Value, path: &str, found: &mut BTreeMap<(String, String), bool>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let path = format!("{path}{}", text("fieldPath")).trim_start_matches('.').to_owned();
        found.insert((path, text("message")), text("rule").contains("oldSelf"));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        rules(schema, format!("{path}.{name}").trim_start_matches('.'), found);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            rules(&schema[part], path, found);
        }
    }
}

fn without_indices(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_is_enforced_and_found_offline() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("rules").await;
    let (schema, base) = (schema(), base());
    let mut unbroken = BTreeMap::new();
    rules(&schema, "", &mut unbroken);
    unbroken.retain(|_, about_a_change| !*about_a_change);
    assert!(unbroken.len() > 20, "{unbroken:?}");

    let mut wrong = Vec::new();
    let cases = table::rules(&base);
    for case in &cases {
        wrong.extend(examine(&client, &namespace, case).await);
        for (field, why) in refusal(&client, &namespace, &case.body).await {
            unbroken.retain(|(path, message), _| {
                *path != without_indices(&field) || !why.contains(message.as_str())
            });
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(unbroken.is_empty(), "no case breaks {unbroken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_valid_is_accepted_and_has_no_finding() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("valid").await;
    let base = base();
    let mut bodies = vec![base.clone()];
    for (pointer, value) in [
        ("/metadata/name", json!("a".repeat(45))),
        ("/spec/traces/jaeger", Value::Null),
        ("/spec/slos", Value::Null),
        ("/spec/metrics/port", json!(65535)),
        ("/spec/slos/0/objective", json!("99.9999")),
        ("/spec/slos/0/window", json!("90d")),
        ("/spec/traces/sampling/ratio", json!("0.000001")),
        (
            "/spec/collector/resources",
            json!({"requests": {"cpu": "1000m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1024Mi"}}),
        ),
        ("/spec/collector/tolerations/0", json!({"operator": "Exists"})),
        ("/spec/selector", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
        ("/spec/alerting/labels", json!({"a_1": "any text {{ $labels }} \"'\n"})),
    ] {
        bodies.push(set(&base, &[(pointer, value)]));
    }
    for body in bodies {
        let refused = refusal(&client, &namespace, &body).await;
        assert_eq!(refused, [], "{body:#}");
        let found = lint::lint("valid.json", &body.to_string());
        assert_eq!(found, [], "{body:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_cannot_know_is_found_offline() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("meaning").await;
    for case in table::meaning(&base()) {
        assert_eq!(refusal(&client, &namespace, &case.body).await, [], "{} is for validate alone", case.path);
        let found = lint::lint("case.json", &case.body.to_string());
        let met = found.iter().any(|finding| finding.code == case.code && finding.path == case.path);
        assert!(met, "{} at {}: {found:#?}", case.code, case.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_would_lose_data_are_refused() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("changes").await;
    let api = profiles(&client, &namespace);
    let badger = |more: Value| {
        let mut jaeger = json!({"storage": "Badger"});
        jaeger.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        let mut spec = minimal_spec();
        spec["traces"] = json!({"jaeger": jaeger});
        spec
    };
    let mut unbroken = BTreeMap::new();
    rules(&schema(), "", &mut unbroken);
    unbroken.retain(|_, about_a_change| *about_a_change);
    assert!(!unbroken.is_empty());

    for (index, (before, after, field)) in [
        (json!({"size": "10Gi"}), json!({"size": "9Gi"}), Some("size")),
        (json!({"size": "1Ti"}), json!({"size": "1T"}), Some("size")),
        (json!({"size": "20Gi"}), json!({}), Some("size")),
        (json!({}), json!({"size": "9Gi"}), Some("size")),
        (json!({"storageClassName": "a"}), json!({"storageClassName": "b"}), Some("storageClassName")),
        (json!({"storageClassName": "a"}), json!({}), Some("storageClassName")),
        (json!({}), json!({"storageClassName": "a"}), Some("storageClassName")),
        (json!({"size": "10Gi"}), json!({"size": "11Gi"}), None),
        (json!({"size": "1024Mi"}), json!({"size": "1Gi"}), None),
        (json!({}), json!({"size": "10Gi"}), None),
        (json!({"retention": "72h"}), json!({"retention": "24h"}), None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("change-{index}");
        let stored = apply_profile(&client, &namespace, &name, badger(before.clone())).await;
        let mut changed = stored.clone();
        changed.spec = serde_json::from_value(badger(after.clone())).expect("a spec");
        let result = api.replace(&name, &Default::default(), &changed).await;
        let refused: Vec<_> = match result {
            Ok(_) => Vec::new(),
            Err(kube::Error::Api(status)) => {
                status.details.clone().map(|details| details.causes).unwrap_or_default()
            }
            Err(error) => panic!("{error}"),
        };
        let fields: Vec<_> = refused.iter().map(|cause| cause.field.clone()).collect();
        let expected: Vec<_> = field.iter().map(|field| format!("spec.traces.jaeger.{field}")).collect();
        assert_eq!(fields, expected, "from {before} to {after}: {refused:?}");
        for cause in refused {
            unbroken.retain(|(_, message), _| !cause.message.contains(message.as_str()));
        }
        // Through Memory, which deletes the volume, everything is allowed.
        let memory = json!({"storage": "Memory", "size": null, "retention": null, "storageClassName": null});
        for jaeger in [memory, badger(after)["traces"]["jaeger"].clone()] {
            let patch = json!({"spec": {"traces": {"jaeger": jaeger}}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .expect("the way through Memory");
        }
    }
    assert!(unbroken.is_empty(), "no change breaks {unbroken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_be_edited_and_deleted_after_a_refusal() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("refused").await;
    let api = profiles(&client, &namespace);
    let base = base();
    let stored = apply_profile(&client, &namespace, "kept", base["spec"].clone()).await;
    let mut broken = table::rules(&base);
    broken.extend(table::texts(&base));
    let mut refused = 0;
    for case in broken.iter().filter(|case| case.path.starts_with("spec")) {
        let patch = json!({"spec": case.body["spec"]});
        let result = api.patch("kept", &PatchParams::default(), &Patch::Merge(&patch)).await;
        refused += usize::from(result.is_err());
    }
    assert!(refused > 100, "only {refused} changes were refused");
    let now = api.get("kept").await.expect("the profile");
    assert_eq!(now.spec, stored.spec, "a refused change left something behind");

    let patch = json!({"spec": {"paused": true, "slos": []}});
    let edited =
        api.patch("kept", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("a valid edit");
    assert!(edited.spec.paused && edited.spec.slos.is_empty());
    assert!(edited.metadata.generation > stored.metadata.generation);
    api.delete("kept", &DeleteParams::default()).await.expect("it can be deleted");
    eventually("the profile to be gone", || {
        let api = api.clone();
        async move {
            match api.get_opt("kept").await {
                Ok(None) => Ok(()),
                other => Err(format!("{:?}", other.map(|profile| profile.map(|profile| profile.name_any())))),
            }
        }
    })
    .await;
}

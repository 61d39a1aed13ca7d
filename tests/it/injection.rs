//! One table of pods goes through the policy on a real API server, and through the patch that the webhook and the command
//! line use: equal results, each idempotent, each admitted under Pod Security "restricted".

pub mod table;

use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use telemetry_operator::inject::{self, Decision, Injector};
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;

use crate::common::*;
use table::{Expect, rows};

/// Pods of a namespace, as raw JSON.
pub fn pods(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("", "v1", "Pod");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "pods"))
}

/// What the API server would make of the pod.
pub async fn dry_run(client: &Client, namespace: &str, pod: &Value) -> Result<Value, kube::Error> {
    let parameters = PostParams { dry_run: true, field_manager: None };
    let object = serde_json::from_value(pod.clone()).expect("an object");
    let made = pods(client, namespace).create(&parameters, &object).await?;
    Ok(comparable(serde_json::to_value(&made).expect("JSON")))
}

/// Without what is random in every answer: uid, times, the ends of generated names, and where the token's volume stands:
/// a pod that comes injected has the sidecar's volume before it.
fn comparable(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
        metadata.remove(field);
    }
    if metadata.contains_key("generateName") {
        metadata.remove("name");
    }
    let text = pod.to_string();
    let token =
        text.find("kube-api-access-").map(|at| text[at..at + "kube-api-access-".len() + 5].to_owned());
    if let Some(name) = token {
        pod = serde_json::from_str(&text.replace(&name, "kube-api-access")).expect("JSON");
        let volumes = pod["spec"]["volumes"].as_array_mut().expect("volumes");
        volumes.sort_by_key(|volume| volume["name"].to_string());
    }
    pod
}

/// The table's profiles in a namespace, as the API server keeps them.
pub async fn table_profiles(client: &Client, namespace: &str) -> Vec<TelemetryProfile> {
    let mut made = Vec::new();
    for (name, spec) in table::profiles() {
        made.push(apply_profile(client, namespace, name, spec).await);
    }
    made
}

/// The pod with the sidecar of the one profile that selects it, by the patch that webhook and command line share.
pub fn injected(profiles: &[TelemetryProfile], pod: &Value) -> (Value, Vec<Decision>) {
    let mut result = pod.clone();
    let mut decisions = Vec::new();
    for profile in profiles {
        let injector = Injector::new(profile, &Settings::default());
        decisions.push(injector.decide(&result));
        let patch = injector.patch(&result);
        json_patch::patch(&mut result, &patch).expect("the patch fits");
    }
    (result, decisions)
}

/// The control plane with a policy that refuses a pod when an expression fails, instead of leaving it alone.
async fn with_strict_policy() -> (Cluster, Client, String, Vec<TelemetryProfile>) {
    let cluster = Cluster::start_with(false);
    let client = cluster.client().await;
    for mut document in inject::policy::documents(&Settings::default()) {
        if document["kind"] == inject::policy::POLICY_KIND {
            document["spec"]["failurePolicy"] = json!("Fail");
        }
        cluster.plane.apply(&document.to_string()).expect("the policy is accepted");
    }
    let namespace = cluster.namespace("table").await;
    let profiles = table_profiles(&client, &namespace).await;
    wait_for_policy(&client, &namespace).await;
    (cluster, client, namespace, profiles)
}

/// Waits until the API server injects by the table's profiles.
pub async fn wait_for_policy(client: &Client, namespace: &str) {
    wait_until_injected(client, namespace, &table::pod("thrift")).await;
}

/// Waits until the API server would inject this pod: it hears of a profile in its own time.
pub async fn wait_until_injected(client: &Client, namespace: &str, pod: &Value) {
    eventually("the policy to inject", || async {
        let made = dry_run(client, namespace, pod).await.map_err(|error| error.to_string())?;
        let init = &made["spec"]["initContainers"];
        if init.is_array() { Ok(()) } else { Err(format!("a pod without init containers: {made}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_and_the_patch_make_the_same_pods() {
    let (cluster, client, namespace, profiles) = with_strict_policy().await;
    let rows = rows();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        if let Err(problem) = check(&client, &namespace, &profiles, row).await {
            wrong.push(format!("{}: {problem}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
    two_profiles_of_one_pod(&cluster, &client).await;
}

/// Whichever profile comes first: one sidecar, wholly its own.
async fn two_profiles_of_one_pod(cluster: &Cluster, client: &Client) {
    let namespace = cluster.namespace("both").await;
    for name in ["first", "second"] {
        let spec = json!({"selector": {"matchLabels": {"app": "thrift"}}, "service": {"name": name}});
        apply_profile(client, &namespace, name, spec).await;
    }
    wait_for_policy(client, &namespace).await;
    for _ in 0..20 {
        let made = dry_run(client, &namespace, &table::pod("thrift")).await.expect("a pod");
        let label = made["metadata"]["labels"]["telemetry-operator.dev/sidecar"].as_str().expect("a label");
        let sidecars = made["spec"]["initContainers"].as_array().expect("init containers");
        assert_eq!(sidecars.len(), 1, "{made}");
        let volume = &made["spec"]["volumes"][0]["configMap"]["name"];
        assert_eq!(volume, &json!(format!("{label}-sidecar")));
        assert_eq!(made["spec"]["containers"][0]["env"][0]["value"], label);
    }
}

async fn check(
    client: &Client,
    namespace: &str,
    profiles: &[TelemetryProfile],
    row: &table::Row,
) -> Result<(), String> {
    let (patched, decisions) = injected(profiles, &row.pod);
    expected(row.expect, &patched, &row.pod, &decisions, profiles)?;
    let (again, _) = injected(profiles, &patched);
    same("the patch is idempotent", &again, &patched)?;
    let mut removed = patched.clone();
    inject::remove(&mut removed);
    if !row.name.starts_with("empty ") && !row.name.contains("claims a sidecar") {
        same("what was injected can be removed", &removed, &row.pod)?;
    }
    if !row.restricted {
        return match dry_run(client, namespace, &row.pod).await {
            Err(error) if error.to_string().contains("PodSecurity") => Ok(()),
            other => Err(format!("restricted should refuse it: {other:?}")),
        };
    }
    let by_policy = dry_run(client, namespace, &row.pod).await.map_err(|error| error.to_string())?;
    let by_patch = dry_run(client, namespace, &patched).await.map_err(|error| format!("patched: {error}"))?;
    same("policy and patch", &by_policy, &by_patch)?;
    // As it would come back to the API server, for example from a backup.
    let mut stored = by_policy.clone();
    stored["metadata"]["name"] = json!("row");
    let again = dry_run(client, namespace, &stored).await.map_err(|error| format!("again: {error}"))?;
    let mut expected = by_policy;
    if let Some(metadata) = expected["metadata"].as_object_mut()
        && !metadata.contains_key("generateName")
    {
        metadata.insert("name".to_owned(), json!("row"));
    }
    same("the policy is idempotent", &again, &expected)
}

fn expected(
    expect: Expect,
    patched: &Value,
    pod: &Value,
    decisions: &[Decision],
    profiles: &[TelemetryProfile],
) -> Result<(), String> {
    let label = patched["metadata"]["labels"]["telemetry-operator.dev/sidecar"].as_str();
    match expect {
        Expect::Sidecar(profile) if label == Some(profile) => Ok(()),
        Expect::Unchanged if patched == pod => Ok(()),
        Expect::Refused(reason) if patched == pod => {
            let refused =
                decisions.iter().any(|d| matches!(d, Decision::Refused(refusal) if refusal.reason == reason));
            if refused { Ok(()) } else { Err(format!("{reason} expected, but {decisions:?}")) }
        }
        _ => Err(format!("{expect:?} expected of {} profiles, but {decisions:?}: {patched}", profiles.len())),
    }
}

fn same(what: &str, left: &Value, right: &Value) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    let difference = json_patch::diff(left, right);
    Err(format!("{what} differ: {difference}"))
}

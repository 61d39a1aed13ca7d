//! The real API server takes everything that is made of payloads, pods under Pod Security "restricted", and the operator
//! itself calls no address of a profile.

use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::plan::Child;

use super::programs::Bait;
use super::{fields, payloads};
use crate::common::*;
use crate::injection;

/// Creates an object, and keeps nothing of it.
async fn dry_run(api: Api<DynamicObject>, body: &Value) -> Result<(), String> {
    let object = serde_json::from_value(body.clone()).expect("an object");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&parameters, &object).await.map(|_| ()).map_err(|error| error.to_string())
}

/// What the API server has against a child; for a Deployment also what it has against its pods.
pub async fn refused(client: &Client, namespace: &str, child: &Child) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = dry_run(child_api(client, namespace, child.kind), &child.body).await {
        wrong.push(format!("{}: {error}", child.reference()));
    }
    if child.kind == ChildKind::Deployment {
        let template = &child.body["spec"]["template"];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!("canary");
        // Neither the account nor the class is there.
        let spec = pod["spec"].as_object_mut().expect("a spec");
        spec.remove("serviceAccountName");
        spec.remove("priorityClassName");
        if let Err(error) = dry_run(injection::pods(client, namespace), &pod).await {
            wrong.push(format!("a pod of {}: {error}", child.reference()));
        }
    }
    wrong
}

/// What the kubelet makes of a variable's value, with the secret in an earlier variable.
fn expanded(value: &str) -> String {
    let (mut text, mut rest) = (String::new(), value);
    while let Some(at) = rest.find('$') {
        text += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("(CANARY)") {
            text += payloads::SECRET;
            rest = after;
        } else {
            text.push('$');
        }
    }
    text + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_variable_is_plain_text() {
    assert_eq!(expanded("a$(CANARY) $$(CANARY) $x$"), format!("a{} $(CANARY) $x$", payloads::SECRET));
    let bait = Bait::lay();
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("canary-variables").await;
    let with_dollar = bait.payloads.iter().filter(|payload| payload.contains('$')).take(32);
    let environment: Vec<_> = with_dollar
        .enumerate()
        .map(|(index, value)| json!({"name": format!("PAYLOAD_{index}"), "value": value}))
        .collect();
    assert!(environment.len() > 15, "{}", environment.len());
    let mut spec = minimal_spec();
    spec["sidecar"] = json!({"environment": environment});
    let profile = apply_profile(&client, &namespace, "canary", spec).await;
    let pod: Value = serde_yaml::from_str(POD).expect("a pod");
    injection::wait_until_injected(&client, &namespace, &pod).await;
    let by_policy = injection::dry_run(&client, &namespace, &pod).await.expect("it is admitted");
    let (by_patch, _) = injection::injected(&[profile], &pod);
    for made in [by_policy, by_patch] {
        let variables = made["spec"]["containers"][0]["env"].as_array().expect("variables");
        for wanted in &environment {
            let found = variables.iter().find(|variable| variable["name"] == wanted["name"]);
            let value = found.and_then(|found| found["value"].as_str()).expect("the variable");
            assert_eq!(expanded(value), wanted["value"].as_str().expect("a text"));
        }
    }
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {app: x}}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: shop
      image: shop
      env: [{name: CANARY, value: secret}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_calls_no_address_of_a_profile() {
    let bait = Bait::lay();
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("canary-addresses").await;
    let [_, base] = fields::bases();
    let mut spec = base["spec"].clone();
    let url = format!("http://{}", bait.address);
    spec["traces"]["endpoint"] = json!(url);
    spec["logs"]["endpoint"] = json!(format!("{url}/otlp"));
    spec["alerting"]["runbookBaseURL"] = json!(format!("{url}/runbooks"));
    spec["dashboards"]["delivery"] = json!("ConfigMap");
    let _operator = cluster.operator(&[&namespace], &[]);
    settle(cluster, &client, &namespace, spec).await;
    assert!(!children(&client, &namespace).await.is_empty());
    bait.assert_untouched();
}

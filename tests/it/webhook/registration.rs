//! What the API server is told of the webhook follows the profiles, is put right, and is taken back.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::*;

async fn entries(client: &Client, name: &str) -> Vec<String> {
    let configuration = configuration(client, name).await;
    configuration.webhooks.unwrap_or_default().into_iter().map(|entry| entry.name).collect()
}

async fn wait_for_entries(client: &Client, name: &str, wanted: &[&str]) {
    let full: Vec<_> = wanted.iter().map(|entry| format!("{entry}.sidecar.telemetry-operator.dev")).collect();
    eventually(&format!("the entries {full:?}"), || async {
        let found = entries(client, name).await;
        if found == full { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

async fn wait_for_failure(hook: &Hook, what: &str) {
    eventually(&format!("a failure that names {what:?}"), || {
        let state = hook.state.borrow().clone();
        async move {
            match &state {
                WebhookState::Failed(text) if text.contains(what) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    })
    .await;
}

/// Nothing is written while nothing changes, by one replica or by two.
async fn rests(cluster: &Cluster, name: &str) {
    let writes = || {
        let log = std::fs::read_to_string(cluster.plane.audit_log()).expect("the audit log");
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let written = events.filter(|event| {
            event["objectRef"]["name"] == name && (event["verb"] == "patch" || event["verb"] == "update")
        });
        written.map(|event| event["requestURI"].to_string()).collect::<Vec<_>>()
    };
    let before = writes();
    tokio::time::sleep(QUICK.poll * 5).await;
    assert_eq!(writes(), before, "it was written at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_follows_the_profiles_and_is_put_right() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("webhook-registration").await;
    let service = service(cluster, &namespace, "registration");
    let all = table_profiles(&client, &namespace).await;
    let plain = all.iter().find(|profile| profile.name_any() == "plain").expect("a profile").clone();
    let grpc = all.iter().find(|profile| profile.name_any() == "grpc").expect("a profile").clone();

    let hook = Hook::start(&client, &service, QUICK, vec![plain.clone()]);
    wait_for_failure(&hook, "Secret webhook-registration").await;
    wait_for_failure(&hook, "--set injection.mode=Webhook").await;
    install(cluster, &service);
    hook.registered().await;
    let of = |profile: &str| format!("{profile}.{namespace}");
    wait_for_entries(&client, "registration", &[&of("plain")]).await;
    let [port] = free_ports().expect("a port");
    let second = Hook::start_at(port, &client, &service, QUICK, vec![plain.clone()]);
    second.registered().await;
    rests(cluster, "registration").await;
    second.stop().await;

    hook.profiles.lock().expect("the profiles").push(grpc);
    wait_for_entries(&client, "registration", &[&of("grpc"), &of("plain")]).await;
    hook.profiles.lock().expect("the profiles").retain(|profile| profile.name_any() == "plain");
    wait_for_entries(&client, "registration", &[&of("plain")]).await;

    // Somebody opens it to every pod, and takes the entries away.
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    for webhooks in [json!([]), json!(null)] {
        let patch = Patch::Merge(json!({"webhooks": webhooks}));
        api.patch("registration", &PatchParams::default(), &patch).await.expect("it is edited");
        wait_for_entries(&client, "registration", &[&of("plain")]).await;
    }
    let open = json!([{"op": "replace", "path": "/webhooks/0/objectSelector", "value": {}}]);
    let open: json_patch::Patch = serde_json::from_value(open).expect("a patch");
    api.patch("registration", &PatchParams::default(), &Patch::<()>::Json(open)).await.expect("it is edited");
    eventually("the selector to be put right", || async {
        let entry = configuration(&client, "registration").await.webhooks.unwrap_or_default().remove(0);
        let labels = entry.object_selector.and_then(|selector| selector.match_labels);
        if labels.is_some() { Ok(()) } else { Err("every pod".to_owned()) }
    })
    .await;

    // Another way injects now.
    hook.observed.send_replace(Observed::default());
    wait_for_entries(&client, "registration", &[]).await;
    hook.observed.send_replace(Observed { injection: Way::Webhook, ..Observed::default() });
    wait_for_entries(&client, "registration", &[&of("plain")]).await;
    hook.stop().await;
}

/// As many entries as there may be, and more profiles than that, are taken by the API server.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_the_entries_of_many_profiles() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("webhook-many").await;
    let service = service(cluster, &namespace, "many");
    install(cluster, &service);
    let profile = |number: usize| {
        let values: Vec<_> = (0..12).map(|value| format!("{value:063}")).collect();
        let body = json!({
            "apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
            "metadata": {"name": format!("p{number}"), "namespace": namespace},
            "spec": {"service": {"name": "x"}, "selector": {"matchExpressions": [
                {"key": "example.com/some-application", "operator": "In", "values": values}]}},
        });
        serde_json::from_value(body).expect("a profile")
    };
    let hook = Hook::start(&client, &service, QUICK, (0..200).map(profile).collect());
    hook.registered().await;
    assert_eq!(entries(&client, "many").await.len(), 200);
    hook.profiles.lock().expect("the profiles").push(profile(200));
    wait_for_entries(&client, "many", &["all"]).await;
    hook.stop().await;
}

/// A Secret that somebody spoils or empties is filled anew, and the API server trusts what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_secret_is_made_anew() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("webhook-secret").await;
    let service = service(cluster, &namespace, "secret");
    install(cluster, &service);
    let profiles = table_profiles(&client, &namespace).await;
    let hook = Hook::start(&client, &service, QUICK, profiles);
    hook.registered().await;
    let pod = crate::injection::table::pod("plain");
    wait_for_injection(&client, &namespace, &pod).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    for data in [json!({"certificates.json": "e30="}), json!({"certificates.json": "AAAA"}), json!(null)] {
        let patch = Patch::Merge(json!({"data": data}));
        let spoilt = secrets.patch("secret", &PatchParams::default(), &patch).await.expect("it is edited");
        eventually("the Secret to be filled", || async {
            let now = secrets.get("secret").await.expect("the Secret");
            let text = now.data.unwrap_or_default().remove("certificates.json").unwrap_or_default();
            let filled = String::from_utf8_lossy(&text.0).contains("BEGIN CERTIFICATE");
            if filled { Ok(()) } else { Err(format!("still as spoilt in {:?}", spoilt.resource_version())) }
        })
        .await;
        wait_for_injection(&client, &namespace, &pod).await;
    }
    secrets.delete("secret", &Default::default()).await.expect("it is deleted");
    wait_for_failure(&hook, "--set injection.mode=Webhook").await;
    hook.stop().await;
}

//! Pause, deletion, a name that is used again, and what happens before the CRD is there.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_profile_is_left_alone() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("pause").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    let mut spec = minimal_spec();
    settle(cluster, &client, &namespace, spec.clone()).await;

    spec["paused"] = json!(true);
    spec["traces"] = json!({"sampling": {"ratio": "0.1"}});
    apply_profile(&client, &namespace, "trakt", spec.clone()).await;
    wait_for_condition(&client, &namespace, "Paused", "True", DEADLINE).await;
    cluster.quiet(&[&namespace]).await;
    let writes = cluster.operator_writes(&[&namespace]);
    let (kind, name) = parse_reference("Service/trakt-collector");
    child_api(&client, &namespace, kind).delete(&name, &DeleteParams::default()).await.expect("deleted");
    cluster.quiet(&[&namespace]).await;
    assert_eq!(cluster.operator_writes(&[&namespace]), writes, "no write while paused");

    spec["paused"] = json!(false);
    apply_profile(&client, &namespace, "trakt", spec).await;
    wait_for_children(&client, &namespace, &["Service/trakt-collector"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_profile_leaves_nothing_behind() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("delete").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", full_spec()).await;
    observed(&client, &namespace, "trakt").await;
    profiles(&client, &namespace).delete("trakt", &DeleteParams::default()).await.expect("deleted");
    // The garbage collector learns of a new kind within 30 s.
    eventually("every child to be collected", || {
        let (client, namespace) = (client.clone(), namespace.clone());
        async move {
            let found = children(&client, &namespace).await;
            if found.is_empty() { Ok(()) } else { Err(format!("{:?}", found.keys())) }
        }
    })
    .await;
}

/// Deleted and made anew under the same name before the garbage collector has run: the children are the new profile's.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_used_again_takes_the_children_over() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("again").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", full_spec()).await;
    observed(&client, &namespace, "trakt").await;
    profiles(&client, &namespace).delete("trakt", &DeleteParams::default()).await.expect("deleted");
    let second = apply_profile(&client, &namespace, "trakt", full_spec()).await;
    let uid = second.uid();
    eventually("every child to belong to the second profile", || {
        let (client, namespace, uid) = (client.clone(), namespace.clone(), uid.clone());
        async move {
            let profile =
                profiles(&client, &namespace).get("trakt").await.map_err(|error| error.to_string())?;
            let planned = profile.status.map(|status| status.children).unwrap_or_default();
            let found = children(&client, &namespace).await;
            let wrong: Vec<_> = found
                .iter()
                .filter(|(_, object)| {
                    !object.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref())
                })
                .map(|(reference, _)| reference)
                .collect();
            let all = !planned.is_empty() && planned.iter().all(|child| found.contains_key(child));
            if wrong.is_empty() && all {
                Ok(())
            } else {
                Err(format!("wrong {wrong:?}, found {:?}", found.keys()))
            }
        }
    })
    .await;
}

/// Readiness says that the CRD is missing; when it comes, the operator goes to work without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_waits_for_its_kind() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    output(cluster.plane.kubectl(["delete", "crd", "telemetryprofiles.telemetry-operator.dev"]));
    let operator = Operator::start(&cluster, &[], &[], &[], false);
    eventually("readiness to name the CRD", || {
        let answer = testbed::http_get(&format!("{}/readyz", operator.url));
        async move {
            match answer {
                Ok((503, text)) if text.contains("telemetryprofiles.telemetry-operator.dev") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    })
    .await;
    assert_eq!(operator.page("/healthz").0, 200, "alive all the same");
    assert!(operator.page("/metrics").1.contains("telemetry_operator_crd_served 0"));
    cluster.plane.apply(&repository_file("crds/telemetryprofile.yaml")).expect("the CRD");
    eventually("readiness", || {
        let answer = operator.page("/readyz");
        async move { if answer.0 == 200 { Ok(()) } else { Err(format!("{answer:?}")) } }
    })
    .await;
    let namespace = cluster.namespace("late").await;
    apply_profile(&client, &namespace, "trakt", minimal_spec()).await;
    observed(&client, &namespace, "trakt").await;
}

/// What CEL cannot say is refused by the operator: it names the field, changes nothing, and waits for an edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_wrong_in_meaning_changes_nothing_and_recovers() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("wrong").await;
    let operator = cluster.operator(&[&namespace], &[]);
    let mut spec = full_spec();
    settle(cluster, &client, &namespace, spec.clone()).await;
    let before = children(&client, &namespace).await;
    spec["slos"][0]["ratio"]["total"] = json!("rate(x[5m])");
    apply_profile(&client, &namespace, "trakt", spec.clone()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    let (ready, reason, message) = condition(&profile, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "InvalidProfile"), "{message}");
    assert!(message.contains("spec.slos[0].ratio.total"), "{message}");
    cluster.quiet(&[&namespace]).await;
    let versions = |children: &std::collections::BTreeMap<String, kube::core::DynamicObject>| {
        children.iter().map(|(name, object)| (name.clone(), object.resource_version())).collect::<Vec<_>>()
    };
    assert_eq!(versions(&children(&client, &namespace).await), versions(&before), "nothing is changed");
    let page = operator.page("/metrics").1;
    assert!(page.contains("telemetry_operator_reconcile_errors_total{reason=\"InvalidProfile\"} "), "{page}");
    assert!(page.contains("telemetry_operator_profiles{condition=\"Ready\",status=\"false\"} 1"), "{page}");

    // Events on transitions: one Warning with the reason and the message.
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(client.clone(), &namespace);
    eventually("the event", || {
        let events = events.clone();
        async move {
            let list = events.list(&Default::default()).await.map_err(|error| error.to_string())?;
            let found: Vec<_> =
                list.items.into_iter().filter(|e| e.reason.as_deref() == Some("InvalidProfile")).collect();
            match found.as_slice() {
                [one] if one.type_.as_deref() == Some("Warning") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    })
    .await;

    spec["slos"][0]["ratio"]["total"] = json!("export_trakt_api_calls_total");
    apply_profile(&client, &namespace, "trakt", spec).await;
    let profile = observed(&client, &namespace, "trakt").await;
    assert_ne!(condition(&profile, "Ready").1, "InvalidProfile");
}

/// Readiness of workloads is read from their own status. There is no kubelet here, so the test writes that status.
#[tokio::test(flavor = "multi_thread")]
async fn ready_follows_the_workloads() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("ready").await;
    let _operator = cluster.operator(&[&namespace], &[]);
    apply_profile(&client, &namespace, "trakt", minimal_spec()).await;
    let profile = observed(&client, &namespace, "trakt").await;
    assert_eq!(condition(&profile, "Ready").1, "PodsStarting");
    // The Deployment controller counts pods: make them ready, as a kubelet would.
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), &namespace);
    let set_ready = |value: &'static str| {
        let pods = pods.clone();
        async move {
            let list = eventually("two pods", || {
                let pods = pods.clone();
                async move {
                    let list = pods.list(&Default::default()).await.map_err(|error| error.to_string())?.items;
                    if list.len() == 2 { Ok(list) } else { Err(format!("{} pods", list.len())) }
                }
            })
            .await;
            for pod in list {
                let status = json!({"status": {"phase": "Running", "conditions": [
                    {"type": "Ready", "status": value, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
                pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status))
                    .await
                    .expect("status");
            }
        }
    };
    set_ready("True").await;
    wait_for_condition(&client, &namespace, "Ready", "True", Duration::from_secs(30)).await;
    set_ready("False").await;
    wait_for_condition(&client, &namespace, "Ready", "False", Duration::from_secs(30)).await;
}

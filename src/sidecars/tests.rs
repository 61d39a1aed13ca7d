//! Pods as the API server lists them → the answer.

use serde_json::json;

use super::*;
use crate::inject::INJECT_LABEL;
use crate::settings::Settings;

fn profile(name: &str, app: &str) -> TelemetryProfile {
    let spec = format!("selector: {{matchLabels: {{app: {app}}}}}\nservice: {{name: x}}");
    let mut profile = TelemetryProfile::new(name, serde_yaml::from_str(&spec).expect("a spec"));
    profile.metadata.namespace = Some("media".to_owned());
    profile
}

fn injector(profile: &TelemetryProfile) -> Injector {
    Injector::new(profile, &Settings::default())
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "media", "labels": {"app": "x"}, "creationTimestamp": "2026-01-01T10:00:00Z"},
        "spec": {"containers": [{"name": "app", "image": "i"}]}})
}

fn owned(mut pod: Value, version: &str, kind: &str, name: &str) -> Value {
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true}]);
    pod
}

/// The pod as the profile injects it.
fn injected(profile: &TelemetryProfile, mut pod: Value) -> Value {
    let patch = injector(profile).patch(&pod);
    json_patch::patch(&mut pod, &patch).expect("the patch fits");
    pod
}

fn answer(profile: &TelemetryProfile, others: &[TelemetryProfile], pods: &[Value]) -> Sidecars {
    let mine = injector(profile);
    let others: Vec<_> =
        others.iter().map(|other| (other.metadata.name.clone().expect("a name"), injector(other))).collect();
    let mut count = Count::new();
    for pod in pods {
        count.add(&mine, others.iter().map(|(name, injector)| (name.as_str(), injector)), pod);
    }
    let deployment =
        Controller { kind: "Deployment".to_owned(), name: "web".to_owned(), uid: "d".to_owned() };
    let deployments = [("ReplicaSet-web-5d".to_owned(), deployment)].into();
    count.finish(About::of(profile, &mine), &deployments)
}

#[test]
fn each_pod_is_in_one_number_and_those_that_have_ended_in_none() {
    let trakt = profile("trakt", "x");
    let mut ended = pod("ended");
    ended["status"] = json!({"phase": "Succeeded"});
    let mut going = pod("going");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T10:00:00Z");
    let mut opted_out = pod("opted-out");
    opted_out["metadata"]["labels"][INJECT_LABEL] = json!("false");
    let mut on_host = pod("on-host");
    on_host["spec"]["hostNetwork"] = json!(true);
    let mut old = injected(&trakt, pod("old"));
    old["spec"]["initContainers"][0]["args"] = json!(["--config=older"]);
    let mut foreign = pod("foreign");
    foreign["metadata"]["labels"]["app"] = json!("y");
    let pods = [
        owned(pod("missed"), "apps/v1", "ReplicaSet", "web-5d"),
        ended,
        going,
        opted_out,
        on_host,
        injected(&trakt, owned(pod("fine"), "apps/v1", "StatefulSet", "db")),
        old,
        foreign,
    ];
    let found = answer(&trakt, &[], &pods);
    assert_eq!(
        (found.injected, found.outdated(), found.missing(), found.opted_out),
        (1, 1, 2, 1),
        "{found:?}"
    );
    let order: Vec<_> = found.lacking.iter().map(|lacking| lacking.pod.as_str()).collect();
    assert_eq!(order, ["missed", "on-host", "old"], "the worst first");
    let workloads: Vec<_> = found.workloads.iter().map(Workload::reference).collect();
    assert_eq!(workloads, ["Deployment/web", "StatefulSet/db"]);
    let of: Vec<_> = found.workloads.iter().map(|workload| found.of(workload).len()).collect();
    assert_eq!(of, [1, 0]);
    assert_eq!(found.overlaps, BTreeMap::new());
}

#[test]
fn two_profiles_on_one_pod_name_each_other() {
    let (a, b) = (profile("a", "x"), profile("b", "x"));
    let db = owned(pod("two"), "apps/v1", "StatefulSet", "db");
    let pods = [injected(&a, db), injected(&a, pod("one"))];
    let of_a = answer(&a, std::slice::from_ref(&b), &pods);
    assert_eq!(of_a.overlaps, [("b".to_owned(), "one".to_owned())].into());
    assert_eq!((of_a.injected, of_a.missing()), (2, 0));
    let of_b = answer(&b, std::slice::from_ref(&a), &pods);
    assert_eq!(of_b.overlaps, [("a".to_owned(), "one".to_owned())].into());
    assert_eq!(of_b.lacking[0].lack, Lack::Taken("a".to_owned()));
    assert!(of_b.workloads.is_empty(), "a restart would not help");
    let mut off = b;
    off.spec.sidecar.enabled = false;
    assert_eq!(answer(&a, &[off], &pods).overlaps, BTreeMap::new(), "it wants no sidecar");
    assert_eq!(answer(&a, &[profile("c", "y")], &pods).overlaps, BTreeMap::new(), "it selects other pods");
}

#[test]
fn the_owner_is_who_makes_the_pod_anew() {
    let trakt = profile("trakt", "x");
    for (version, kind, expected) in [
        ("apps/v1", "ReplicaSet", "Other ReplicaSet/own"),
        ("apps/v1", "StatefulSet", "StatefulSet/own"),
        ("apps/v1", "DaemonSet", "DaemonSet/own"),
        ("batch/v1", "Job", "Other Job/own"),
        ("v1", "ReplicationController", "Other ReplicationController/own"),
        ("argoproj.io/v1alpha1", "Rollout", "Other Rollout.argoproj.io/own"),
        // A kind of another project is none of ours, whatever its name.
        ("apps.kruise.io/v1beta1", "StatefulSet", "Other StatefulSet.apps.kruise.io/own"),
    ] {
        let found = answer(&trakt, &[], &[owned(pod("p"), version, kind, "own")]);
        let owner = match &found.lacking[0].owner {
            Owner::Workload(workload) => workload.reference(),
            Owner::Other { kind, name } => format!("Other {kind}/{name}"),
            Owner::Nobody => "nobody".to_owned(),
        };
        assert_eq!(owner, expected);
    }
    assert_eq!(answer(&trakt, &[], &[pod("bare")]).lacking[0].owner, Owner::Nobody);
}

#[test]
fn the_answer_depends_on_no_order() {
    let (trakt, other) = (profile("trakt", "x"), profile("other", "x"));
    let mut pods: Vec<_> = ["c", "a", "b"].map(pod).into();
    let others = std::slice::from_ref(&other);
    let first = answer(&trakt, others, &pods);
    pods.reverse();
    assert_eq!(answer(&trakt, others, &pods), first);
}

#[test]
fn the_selector_is_one_that_the_api_server_reads() {
    let mut trakt = profile("trakt", "x");
    trakt.spec.selector = serde_yaml::from_str(
        "matchLabels: {app: x}\nmatchExpressions: [{key: a, operator: In, values: [b, c]}, {key: d, operator: NotIn, values: [e]}, \
         {key: f, operator: Exists}, {key: g, operator: DoesNotExist}]",
    )
    .expect("a selector");
    assert_eq!(selector_text(&label_selector(&trakt.spec.selector)), "app=x,a in (b,c),d notin (e),f,!g");
}

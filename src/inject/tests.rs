//! The states of pods that exist, and the details of injection that the table on the API server does not show.

use serde_json::{Value, json};

use super::*;
use crate::profile::TelemetryProfileSpec;

fn profile(spec: &str) -> TelemetryProfile {
    let spec: TelemetryProfileSpec = serde_yaml::from_str(spec).expect("a spec");
    let mut profile = TelemetryProfile::new("trakt", spec);
    profile.metadata.namespace = Some("media".to_owned());
    profile
}

const SPEC: &str = "{selector: {matchLabels: {app: exporter}}, service: {name: exporter}, collector: {imagePullSecrets: [reg]}}";

fn injector(spec: &str) -> Injector {
    Injector::new(&profile(spec), &Settings::default())
}

fn pod() -> Value {
    json!({"metadata": {"name": "p", "labels": {"app": "exporter"}},
        "spec": {"containers": [{"name": "web", "image": "i", "env": [{"name": "OWN", "value": "1"}]}]}})
}

fn injected() -> Value {
    let mut pod = pod();
    let patch = injector(SPEC).patch(&pod);
    json_patch::patch(&mut pod, &patch).expect("it fits");
    pod
}

/// As the API server and others leave it: defaults, volumes, quantities in another form, fields of other controllers.
fn lived_in() -> Value {
    let mut pod = injected();
    let sidecar = &mut pod["spec"]["initContainers"][0];
    sidecar["image"] = json!("mirror.example/collector");
    sidecar["resources"]["requests"]["memory"] = json!("96Mi");
    sidecar["imagePullPolicy"] = json!("IfNotPresent");
    sidecar["resources"]["limits"]["cpu"] = json!("0.5");
    sidecar["volumeMounts"].as_array_mut().expect("mounts").push(json!({"name": "token", "mountPath": "/t"}));
    pod["spec"]["volumes"][0]["configMap"]["defaultMode"] = json!(420);
    pod["spec"]["nodeName"] = json!("n");
    pod["metadata"]["labels"]["added"] = json!("later");
    pod
}

fn outdated(spec: &str) -> String {
    match injector(spec).state(&lived_in()) {
        Some(State::Outdated(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_that_lives_with_its_sidecar_is_injected() {
    assert_eq!(injector(SPEC).state(&lived_in()), Some(State::Injected));
}

#[test]
fn each_change_of_the_profile_that_reaches_the_pod_makes_it_outdated_and_is_named() {
    let with = |more: &str| SPEC.replacen("service: {name: exporter}", more, 1);
    let named = |spec: String, part: &str| {
        let why = outdated(&spec);
        assert!(why.contains(part), "{part} in {why:?}");
        assert_ne!(injector(&spec).fingerprint(), injector(SPEC).fingerprint(), "{part}");
    };
    named(with("service: {name: other}"), "container web has another OTEL_SERVICE_NAME");
    named(with("service: {name: exporter, version: 2}"), "OTEL_RESOURCE_ATTRIBUTES");
    let sidecar = |sidecar: &str| with(&format!("service: {{name: exporter}}, sidecar: {sidecar}"));
    named(sidecar("{image: new}"), "another image");
    named(sidecar("{resources: {limits: {memory: 256Mi}}}"), "other resources");
    named(sidecar("{resources: {limits: {cpu: 1}}}"), "other resources");
    named(sidecar("{environment: [{name: OWN, value: '1'}, {name: NEW, value: '2'}]}"), "another NEW");
    named(sidecar("{enabled: false}"), "wants no sidecar");
    named(with("service: {name: exporter}, traces: {protocols: [JaegerThriftHTTP]}"), "another args");
    named(SPEC.replace("app: exporter", "app: other"), "does not select it any more");
    named(SPEC.replace("reg", "other"), "pull secrets");
}

#[test]
fn changes_that_do_not_reach_the_pod_leave_it_as_it_is() {
    for more in [
        "metrics: {interval: 10s}",
        "paused: true",
        "slos: []",
        "collector: {imagePullSecrets: [reg], replicas: 3}",
    ] {
        let spec = SPEC.replace("collector: {imagePullSecrets: [reg]}", "MORE");
        let mut rest = vec![more];
        rest.extend((!more.starts_with("collector")).then_some("collector: {imagePullSecrets: [reg]}"));
        let injector = injector(&spec.replace("MORE", &rest.join(", ")));
        assert_eq!(injector.state(&lived_in()), Some(State::Injected), "{more}");
        assert_eq!(injector.fingerprint(), self::injector(SPEC).fingerprint(), "{more}");
    }
}

#[test]
fn a_pod_without_a_sidecar_is_missing_it_or_says_why() {
    let injector = injector(SPEC);
    assert_eq!(injector.state(&pod()), Some(State::Missing(None)));
    let mut opted_out = pod();
    opted_out["metadata"]["labels"][INJECT_LABEL] = json!("false");
    assert_eq!(injector.state(&opted_out), Some(State::OptedOut));
    let mut on_host = pod();
    on_host["spec"]["hostNetwork"] = json!(true);
    assert!(
        matches!(injector.state(&on_host), Some(State::Missing(Some(refusal))) if refusal.reason == "HostNetwork")
    );
    let mut stranger = pod();
    stranger["metadata"]["labels"]["app"] = json!("other");
    assert_eq!(injector.state(&stranger), None);
    let mut others = injected();
    others["metadata"]["labels"][SIDECAR_LABEL] = json!("other");
    assert!(matches!(injector.state(&others), Some(State::Missing(Some(refusal)))
        if refusal.reason == "OtherSidecar" && refusal.message.contains("profile other")));
}

#[test]
fn the_sidecar_of_another_version_is_outdated() {
    let mut pod = lived_in();
    pod["metadata"]["annotations"][VERSION_ANNOTATION] = json!("0");
    let state = injector(SPEC).state(&pod);
    assert!(matches!(&state, Some(State::Outdated(why)) if why.contains("another version")), "{state:?}");
}

#[test]
fn a_profile_that_cannot_be_applied_injects_only_where_its_configuration_is_there() {
    let with_status = |reason: &str, children: &[&str]| {
        let mut profile = profile(SPEC);
        let status = json!({"children": children, "conditions": [{"type": "Ready", "status": "False", "reason": reason,
            "message": "", "observedGeneration": 1, "lastTransitionTime": ""}]});
        profile.status = Some(serde_json::from_value(status).expect("a status"));
        Injector::new(&profile, &Settings::default()).decide(&pod())
    };
    let refused =
        |decision| matches!(decision, Decision::Refused(refusal) if refusal.reason == "ProfileNotApplied");
    assert!(refused(with_status("InvalidProfile", &[])));
    assert!(refused(with_status("ComponentMissing", &["ConfigMap/trakt-sidecar"])));
    assert_eq!(with_status("PodsCrashing", &["ConfigMap/trakt-sidecar"]), Decision::Inject);
    assert_eq!(injector(SPEC).decide(&pod()), Decision::Inject);
}

#[test]
fn the_templates_of_workloads_name_themselves() {
    let attributes = |kind: &str| {
        let mut pod = pod();
        pod["metadata"]["ownerReferences"] = json!([{"kind": kind, "name": "shop", "controller": true}]);
        let patch = injector(SPEC).patch(&pod);
        json_patch::patch(&mut pod, &patch).expect("it fits");
        pod["spec"]["containers"][0]["env"].to_string()
    };
    assert!(attributes("Deployment").contains("k8s.deployment.name=shop"));
    assert!(attributes("StatefulSet").contains("k8s.statefulset.name=shop"));
    assert!(attributes("CronJob").contains("k8s.job.name=$(OTEL_RESOURCE_ATTRIBUTES_JOB_NAME)"));
}

#[test]
fn what_is_no_pod_is_nothing_to_inject() {
    for odd in [
        json!(null),
        json!(7),
        json!("x"),
        json!([]),
        json!({"spec": []}),
        json!({"spec": {"containers": 3}}),
        json!({"metadata": {"labels": {"app": "exporter"}}, "spec": {"containers": [1, null, {"env": 5}], "initContainers": "x"}}),
    ] {
        let injector = injector(SPEC);
        let patch = injector.patch(&odd);
        let mut result = odd.clone();
        let _ = json_patch::patch(&mut result, &patch);
        let _ = (injector.state(&odd), remove(&mut result));
    }
}

#[test]
fn cel_texts_are_quoted() {
    assert_eq!(facts::quoted("it's \\ \"so\"\n"), "'it\\'s \\\\ \"so\"\\u000a'");
}

//! What is said of pods: states, reasons, and what to do.

use serde_json::json;

use super::*;
use crate::inject::INSTALL_POLICY;
use crate::observed::{Installed, Way};

fn profile(name: &str, spec: Value) -> Candidate {
    let mut whole = json!({"selector": {"matchLabels": {"app": "web"}}, "service": {"name": "web"}});
    json_patch::merge(&mut whole, &spec);
    let profile = json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": name, "namespace": "shop"}, "spec": whole});
    (serde_json::from_value(profile).unwrap(), Settings::default())
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-5c9-x2", "namespace": "shop", "labels": {"app": "web", "pod-template-hash": "5c9"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5c9", "controller": true}]},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    })
}

fn subject(pod: Value, exists: bool) -> Subject {
    Subject {
        kind: "Pod".to_owned(),
        name: "web-5c9-x2".to_owned(),
        namespace: "shop".to_owned(),
        pod,
        exists,
    }
}

fn injected(candidate: &Candidate) -> Value {
    let mut pod = pod();
    let patch = Injector::new(&candidate.0, &candidate.1).patch(&pod);
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

fn works() -> WayReport {
    WayReport::new(&Way::Policy(Installed::Present), None)
}

#[test]
fn a_pod_that_exists_is_judged_by_what_it_has() {
    let trakt = profile("trakt", json!({}));
    let has = injected(&trakt);
    let told = explain(subject(has.clone(), true), std::slice::from_ref(&trakt), works());
    assert_eq!(
        (told.verdict, told.profile.as_deref(), told.is_finding()),
        (Verdict::Injected, Some("trakt"), false)
    );
    assert!(told.to_do.is_empty(), "{told}");

    let changed = profile("trakt", json!({"sidecar": {"image": "other:1"}}));
    let told = explain(subject(has.clone(), true), &[changed], works());
    assert_eq!((told.verdict, told.is_finding()), (Verdict::Outdated, true));
    assert!(told.why.contains("image"), "{told}");
    assert_eq!(told.to_do, ["kubectl rollout restart -n shop deployment/web"]);

    let told = explain(subject(pod(), true), std::slice::from_ref(&trakt), works());
    assert_eq!(
        (told.verdict, told.profile.as_deref(), told.is_finding()),
        (Verdict::Missing, Some("trakt"), true)
    );
    let auto = profile("trakt", json!({"sidecar": {"rollout": "Auto"}}));
    let told = explain(subject(pod(), true), &[auto], works());
    assert!(told.to_do[0].contains("sidecar.rollout: Auto"), "{told}");

    let gone = explain(subject(has.clone(), true), &[], works());
    assert_eq!((gone.verdict, gone.profile.as_deref()), (Verdict::Abandoned, Some("trakt")));
    let off = profile("trakt", json!({"sidecar": {"enabled": false}}));
    let told = explain(subject(has, true), &[off], works());
    assert_eq!(told.verdict, Verdict::Abandoned);
    assert!(told.why.ends_with("sidecar.enabled is false"), "{told}");
}

#[test]
fn a_pod_that_shall_be_made_is_judged_by_what_would_become_of_it() {
    let trakt = [profile("trakt", json!({}))];
    let told = explain(subject(pod(), false), &trakt, works());
    assert_eq!((told.verdict, told.is_finding()), (Verdict::WouldBeInjected, false));

    let missing =
        Way::Policy(Installed::Missing("MutatingAdmissionPolicy/telemetry-operator-sidecar".to_owned()));
    let told = explain(subject(pod(), false), &trakt, WayReport::new(&missing, None));
    assert!(told.is_finding());
    assert_eq!(told.to_do, [INSTALL_POLICY]);
    assert!(
        told.to_string().contains("way      MutatingAdmissionPolicy/telemetry-operator-sidecar is missing"),
        "{told}"
    );

    let mut opted = pod();
    opted["metadata"]["labels"][INJECT_LABEL] = json!("false");
    for exists in [true, false] {
        let told = explain(subject(opted.clone(), exists), &trakt, works());
        assert_eq!((told.verdict, told.is_finding()), (Verdict::OptedOut, false));
        let mut host = pod();
        host["spec"]["hostNetwork"] = json!(true);
        let told = explain(subject(host, exists), &trakt, works());
        assert_eq!((told.verdict, told.is_finding()), (Verdict::Refused, true));
        assert!(told.why.starts_with("HostNetwork: "), "{told}");
    }
}

#[test]
fn a_profile_that_does_not_select_says_which_requirement_is_not_met() {
    let cases = [
        (json!({"matchLabels": {"app": "db"}}), r#"the pod's label app is "web", and it selects "db""#),
        (
            json!({"matchLabels": {"app": null, "tier": "a"}}),
            r#"the pod has no label tier, and it selects "a""#,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}),
            r#"the pod's label app is "web", and it selects In a, b"#,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            r#"the pod's label app is "web", and it selects NotIn web"#,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            "the pod has no label tier, and it selects Exists",
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
            r#"the pod's label app is "web", and it selects DoesNotExist"#,
        ),
    ];
    let silent = profile("silent", json!({"traces": {"enabled": false}, "metrics": {"enabled": false}}));
    let told = explain(subject(pod(), true), &[silent], works());
    assert!(told.profiles[0].why.starts_with("the profile has switched off every signal"), "{told}");
    for (selector, why) in cases {
        let told = explain(subject(pod(), true), &[profile("trakt", json!({"selector": selector}))], works());
        assert_eq!(
            (told.verdict, told.profiles[0].why.as_str(), told.is_finding()),
            (Verdict::NotSelected, why, false)
        );
        assert!(told.to_string().contains(&format!("not      trakt: {why}\n")), "{told}");
    }
}

#[test]
fn two_profiles_that_select_one_pod_are_named() {
    let both = [profile("b", json!({})), profile("a", json!({}))];
    let told = explain(subject(pod(), false), &both, works());
    assert_eq!(told.profile.as_deref(), Some("a"), "the first by name");
    assert!(told.why.contains("The profiles a, b all select it"), "{told}");
    let told = explain(subject(injected(&both[0]), true), &both, works());
    assert_eq!(
        (told.verdict, told.profile.as_deref()),
        (Verdict::Injected, Some("b")),
        "its label says whose"
    );
}

#[test]
fn what_makes_the_pod_anew_depends_on_its_owner() {
    let trakt = [profile("trakt", json!({}))];
    let cases = [
        (json!(null), "delete the pod and create it again"),
        (json!(["StatefulSet", "db"]), "kubectl rollout restart -n shop statefulset/db"),
        (json!(["DaemonSet", "agent"]), "kubectl rollout restart -n shop daemonset/agent"),
        (
            json!(["ReplicaSet", "lone"]),
            "kubectl delete pod -n shop web-5c9-x2: its ReplicaSet lone makes another",
        ),
        (json!(["Job", "once"]), "pods of a Job are not made anew"),
        (json!(["Rollout", "argo"]), "let Rollout argo make the pod again"),
    ];
    for (owner, step) in cases {
        let mut pod = pod();
        pod["metadata"]["ownerReferences"] = match owner {
            Value::Null => json!(null),
            owner => {
                json!([{"kind": "Other", "name": "x"}, {"kind": owner[0], "name": owner[1], "controller": true}])
            }
        };
        let told = explain(subject(pod, true), &trakt, works());
        assert!(told.to_do.len() == 1 && told.to_do[0].starts_with(step), "{step}: {told}");
    }
}

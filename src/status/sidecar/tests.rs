//! What is known of the pods → `SidecarInjected`, `Conflicted` and `Ready`.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Applied;
use crate::inject::{INSTALL_POLICY, Refusal};
use crate::observed::{Installed, Way, WebhookState};
use crate::profile::{Condition, ConditionStatus, TelemetryProfileStatus};
use crate::rollout::{Rollout, Verdict};
use crate::sidecars::{About, Lack, Lacking, Owner, Sidecars, Workload, WorkloadKind};
use crate::status::conditions::ConditionType as Type;
use crate::status::{Injection, Outcome, Running, status, value_of};
use crate::validate::fixture;

const SPEC: &str = "selector: {matchLabels: {app: x}}\nservice: {name: x}\n";

fn workload(name: &str) -> Workload {
    Workload { kind: WorkloadKind::Deployment, name: name.to_owned(), uid: "u".to_owned() }
}

fn lacking(pod: &str, lack: Lack, owner: Owner) -> Lacking {
    Lacking { pod: pod.to_owned(), lack, owner, created: None, restarted_at: None }
}

fn of_web(pod: &str, lack: Lack) -> Lacking {
    lacking(pod, lack, Owner::Workload(workload("web")))
}

fn sidecars(injected: usize, opted_out: usize, lacking: Vec<Lacking>) -> Sidecars {
    let about = About { selector: "app=x".to_owned(), fingerprint: "f".to_owned() };
    Sidecars { about, injected, opted_out, lacking, workloads: BTreeSet::new(), overlaps: BTreeMap::new() }
}

fn by_policy() -> Injection {
    Injection { way: Way::Policy(Installed::Present), off: false, webhook: WebhookState::Starting }
}

fn running(sidecars: Option<Sidecars>) -> Running {
    Running { injection: by_policy(), sidecars, ..Running::default() }
}

fn told_after(running: &Running, more: &str, present: &TelemetryProfileStatus) -> TelemetryProfileStatus {
    let profile = fixture(&format!("{SPEC}{more}"));
    let plan = crate::plan::plan(&profile).expect("a plan");
    let applied = Applied::default();
    let outcome = Outcome::Applied { profile: &profile, plan: &plan, applied: &applied, running };
    status(present, 1, &outcome, "2026-01-01T00:00:00Z")
}

fn told(running: &Running, kind: Type) -> (ConditionStatus, String, String) {
    of(&told_after(running, "", &TelemetryProfileStatus::default()).conditions, kind)
}

fn of(conditions: &[Condition], kind: Type) -> (ConditionStatus, String, String) {
    let condition = value_of(conditions, kind).expect("the condition");
    (condition.status, condition.reason.clone(), condition.message.clone())
}

#[test]
fn each_state_of_the_pods_has_its_reason_and_its_fix() {
    use ConditionStatus::{False, True, Unknown};
    let refusal =
        Refusal { reason: "HostNetwork", message: "it uses the node's network: label it".to_owned() };
    let job = Owner::Other { kind: "Job".to_owned(), name: "once".to_owned() };
    let set = Owner::Other { kind: "ReplicaSet".to_owned(), name: "own".to_owned() };
    let outdated = || Lack::Outdated("its sidecar has another image".to_owned());
    let table: [(Option<Sidecars>, ConditionStatus, &str, &[&str]); 11] = [
        (None, Unknown, "NotLookedYet", &["seconds"]),
        (Some(sidecars(0, 0, vec![])), Unknown, "NoPods", &["spec.selector"]),
        (Some(sidecars(0, 2, vec![])), Unknown, "NoPods", &["opts out"]),
        (Some(sidecars(3, 2, vec![])), True, "AllInjected", &[]),
        (
            Some(sidecars(3, 0, vec![of_web("a", Lack::Missed), of_web("b", outdated())])),
            False,
            "PodsMissing",
            &["pod a was made without", "`kubectl -n media rollout restart deployment/web`"],
        ),
        (
            Some(sidecars(3, 0, vec![of_web("b", outdated())])),
            False,
            "PodsOutdated",
            &["pod b has an older one: its sidecar has another image", "rollout restart deployment/web"],
        ),
        (
            Some(sidecars(0, 0, vec![lacking("h", Lack::Refused(refusal), Owner::Nobody)])),
            False,
            "PodsRefused",
            &["pod h cannot have one: it uses the node's network: label it"],
        ),
        (Some(sidecars(0, 0, vec![lacking("j", Lack::Missed, job)])), False, "PodsMissing", &["Job/once"]),
        (
            Some(sidecars(0, 0, vec![lacking("r", Lack::Missed, set)])),
            False,
            "PodsMissing",
            &["`kubectl -n media delete pod r`", "ReplicaSet/own"],
        ),
        (
            Some(sidecars(0, 0, vec![lacking("bare", Lack::Missed, Owner::Nobody)])),
            False,
            "PodsMissing",
            &["delete pod bare and create it again"],
        ),
        (
            Some(sidecars(0, 0, ["a", "b", "c", "d"].map(|pod| of_web(pod, Lack::Missed)).into())),
            False,
            "PodsMissing",
            &["pod a was", "pod b was", "pod c was", "and others"],
        ),
    ];
    for (known, expected, reason, words) in table {
        let (status, found, message) = told(&running(known), Type::SidecarInjected);
        assert_eq!((status, found.as_str()), (expected, reason), "{message}");
        for word in words {
            assert!(message.contains(word), "{reason}: {word:?} is not in {message:?}");
        }
        assert!(!message.contains("pod d"), "{message}");
    }
}

#[test]
fn what_keeps_new_pods_from_being_injected_comes_first() {
    let fine = || Some(sidecars(1, 0, vec![]));
    let missed = || Some(sidecars(1, 0, vec![of_web("a", Lack::Missed)]));
    let policy = |installed| Injection { way: Way::Policy(installed), ..Injection::default() };
    let webhook = |webhook| Injection { way: Way::Webhook, off: false, webhook };
    let off = || Injection { way: Way::None, off: true, webhook: WebhookState::Starting };
    let name = "MutatingAdmissionPolicy/telemetry-operator-sidecar".to_owned();
    let differs = Installed::Differs(name.clone(), "spec.mutations".to_owned());
    let apply = INSTALL_POLICY;
    for (injection, known, expected, words) in [
        (policy(Installed::Missing(name.clone())), fine(), "PolicyMissing", [name.as_str(), apply]),
        (policy(differs), missed(), "PolicyDiffers", ["spec.mutations", apply]),
        (webhook(WebhookState::Failed("no Secret".to_owned())), fine(), "WebhookFailed", ["no Secret", ""]),
        (webhook(WebhookState::Registered), fine(), "AllInjected", ["", ""]),
        (webhook(WebhookState::Starting), missed(), "PodsMissing", ["", ""]),
        (off(), missed(), "InjectionOff", ["--injection", "telemetry-operator inject"]),
        (off(), fine(), "AllInjected", ["", ""]),
        (off(), Some(sidecars(0, 0, vec![])), "NoPods", ["", ""]),
        (Injection::default(), missed(), "NotLookedYet", ["", ""]),
    ] {
        let running = Running { injection, ..running(known) };
        let (_, reason, message) = told(&running, Type::SidecarInjected);
        assert_eq!(reason, expected, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
    }
}

#[test]
fn restarts_are_told_the_worst_first() {
    let rollout = |verdicts: &[(&str, Verdict)]| Rollout {
        workloads: verdicts.iter().map(|(name, verdict)| (workload(name), verdict.clone())).collect(),
        ..Rollout::default()
    };
    let held = || Verdict::Held("PodDisruptionBudget/pdb allows none".to_owned());
    let useless = || Verdict::Useless { pod: "web-1".to_owned() };
    for (verdicts, reason, words) in [
        (vec![("a", Verdict::Rolling), ("b", held())], "RolloutInProgress", ["Deployment/a", "restarts"]),
        (vec![("a", Verdict::Restart)], "RolloutInProgress", ["Deployment/a", "restarts"]),
        (vec![("a", held())], "RolloutBlocked", ["PodDisruptionBudget/pdb", "restart"]),
        (
            vec![("a", Verdict::Rolling), ("web", useless())],
            "RestartDidNotHelp",
            ["pod web-1", "kubectl -n media rollout restart deployment/web"],
        ),
        (vec![], "PodsMissing", ["pod a", "rollout restart"]),
    ] {
        let known = Some(sidecars(0, 0, vec![of_web("a", Lack::Missed)]));
        let running = Running { rollout: Some(rollout(&verdicts)), ..running(known) };
        let (_, found, message) = told(&running, Type::SidecarInjected);
        assert_eq!(found, reason, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
    }
}

#[test]
fn an_overlap_is_a_conflict_and_not_ready() {
    let mut known = sidecars(1, 0, vec![]);
    known.overlaps = [("other".to_owned(), "web-1".to_owned())].into();
    let running = running(Some(known));
    for (kind, value) in [(Type::Conflicted, ConditionStatus::True), (Type::Ready, ConditionStatus::False)] {
        let (status, reason, message) = told(&running, kind);
        assert_eq!((status, reason.as_str()), (value, "SelectorOverlap"), "{message}");
        assert!(message.contains("the profile other selects pod web-1, too"), "{message}");
    }
}

#[test]
fn a_sidecar_that_is_not_wanted_any_more_is_told_until_it_is_gone() {
    let present = TelemetryProfileStatus::default();
    let off = "sidecar: {enabled: false}";
    let left = Lack::Outdated("the profile wants no sidecar".to_owned());
    let status = told_after(&running(Some(sidecars(0, 0, vec![of_web("a", left)]))), off, &present);
    assert_eq!(of(&status.conditions, Type::SidecarInjected).1, "PodsOutdated");
    for off in [off, "traces: {enabled: false}\nmetrics: {enabled: false}"] {
        let status = told_after(&running(Some(sidecars(0, 0, vec![]))), off, &present);
        assert_eq!(of(&status.conditions, Type::SidecarInjected).1, "NotRequested");
    }
}

#[test]
fn what_was_known_stays_until_the_pods_are_looked_at() {
    let known = running(Some(sidecars(2, 1, vec![of_web("a", Lack::Missed)])));
    let before = told_after(&known, "", &TelemetryProfileStatus::default());
    let counts = before.sidecar.clone().expect("counts");
    assert_eq!((counts.injected, counts.outdated, counts.missing, counts.opted_out), (2, 0, 1, 1));
    assert_eq!(counts.attention[0].pod, "a");
    assert_eq!(told_after(&running(None), "", &before), before, "a restart of the operator writes nothing");
    let fresh = Running { injection: Injection::default(), ..running(None) };
    assert_eq!(told_after(&fresh, "", &before), before, "neither does one that does not know the way yet");
}

#[test]
fn status_lists_five_pods_at_most() {
    let pods = (0..9).map(|index| of_web(&format!("p{index}"), Lack::Missed)).collect();
    let status = told_after(&running(Some(sidecars(0, 0, pods))), "", &TelemetryProfileStatus::default());
    let counts = status.sidecar.expect("counts");
    assert_eq!((counts.missing, counts.attention.len()), (9, 5));
}

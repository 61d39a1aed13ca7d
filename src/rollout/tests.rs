//! (workload, pods, budgets) → restart or not, one row for each cause.

use serde_json::{Value, json};

use super::*;
use crate::sidecars::{Lack, Owner, WorkloadKind};

const FINGERPRINT: &str = "abc";
const RESTART: &str = "2026-01-01T10:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn workload(kind: WorkloadKind) -> Workload {
    Workload { kind, name: "web".to_owned(), uid: "u1".to_owned() }
}

/// A pod without its sidecar, of the template that was restarted at this time, if any.
fn pod(name: &str, created: &str, restarted_at: Option<&str>) -> Lacking {
    Lacking {
        pod: name.to_owned(),
        lack: Lack::Missed,
        owner: Owner::Workload(workload(WorkloadKind::Deployment)),
        created: Some(time(created)),
        restarted_at: restarted_at.map(str::to_owned),
    }
}

/// A workload that is settled, with these annotations on its template.
fn settled(kind: WorkloadKind, annotations: Value) -> Value {
    let status = match kind {
        WorkloadKind::Deployment => {
            json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})
        }
        WorkloadKind::StatefulSet => json!({"observedGeneration": 3, "replicas": 2, "availableReplicas": 2,
            "currentRevision": "r1", "updateRevision": "r1"}),
        WorkloadKind::DaemonSet => json!({"observedGeneration": 3, "desiredNumberScheduled": 2,
            "updatedNumberScheduled": 2, "numberAvailable": 2}),
    };
    json!({
        "metadata": {"uid": "u1", "generation": 3},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "x"}, "annotations": annotations}}},
        "status": status,
    })
}

fn decided(kind: WorkloadKind, live: &Value, pods: &[Lacking], now: &str) -> Verdict {
    let pods: Vec<_> = pods.iter().collect();
    verdict(&workload(kind), "media", live, &pods, FINGERPRINT, time(now))
}

const KINDS: [WorkloadKind; 3] =
    [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet];

#[test]
fn a_settled_workload_is_restarted_and_one_that_rolls_is_not() {
    let pods = [pod("a", "2026-01-01T09:00:00Z", None)];
    let rolling = [
        (WorkloadKind::Deployment, "observedGeneration", json!(2)),
        (WorkloadKind::Deployment, "replicas", json!(3)),
        (WorkloadKind::Deployment, "updatedReplicas", json!(1)),
        (WorkloadKind::Deployment, "availableReplicas", json!(1)),
        (WorkloadKind::StatefulSet, "observedGeneration", json!(2)),
        (WorkloadKind::StatefulSet, "updateRevision", json!("r2")),
        (WorkloadKind::StatefulSet, "availableReplicas", json!(1)),
        (WorkloadKind::StatefulSet, "replicas", json!(1)),
        (WorkloadKind::DaemonSet, "observedGeneration", json!(2)),
        (WorkloadKind::DaemonSet, "updatedNumberScheduled", json!(1)),
        (WorkloadKind::DaemonSet, "numberAvailable", json!(1)),
    ];
    for kind in KINDS {
        let live = settled(kind, Value::Null);
        assert_eq!(decided(kind, &live, &pods, RESTART), Verdict::Restart, "{kind:?}");
    }
    for (kind, field, value) in rolling {
        let mut live = settled(kind, Value::Null);
        live["status"][field] = value;
        assert_eq!(decided(kind, &live, &pods, RESTART), Verdict::Rolling, "{kind:?} {field}");
    }
}

#[test]
fn what_a_restart_would_not_change_is_held_with_a_remedy_or_gone() {
    let pods = [pod("a", "2026-01-01T09:00:00Z", None)];
    let held: [(WorkloadKind, &str, Value, &str); 4] = [
        (
            WorkloadKind::Deployment,
            "/spec/paused",
            json!(true),
            "kubectl -n media rollout resume deployment/web",
        ),
        (WorkloadKind::StatefulSet, "/spec/updateStrategy", json!({"type": "OnDelete"}), "delete its pods"),
        (WorkloadKind::DaemonSet, "/spec/updateStrategy", json!({"type": "OnDelete"}), "delete its pods"),
        (
            WorkloadKind::StatefulSet,
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}),
            "partition",
        ),
    ];
    for (kind, pointer, value, remedy) in held {
        let mut live = settled(kind, Value::Null);
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        live.pointer_mut(parent).expect("a map")[field] = value;
        match decided(kind, &live, &pods, RESTART) {
            Verdict::Held(why) => assert!(why.contains(remedy), "{why}"),
            other => panic!("{kind:?} {pointer}: {other:?}"),
        }
    }
    let gone: [(WorkloadKind, &str, &str, Value); 5] = [
        (WorkloadKind::Deployment, "metadata", "uid", json!("u2")),
        (WorkloadKind::Deployment, "metadata", "deletionTimestamp", json!(RESTART)),
        (WorkloadKind::Deployment, "spec", "replicas", json!(0)),
        (WorkloadKind::StatefulSet, "spec", "replicas", json!(0)),
        (WorkloadKind::DaemonSet, "status", "desiredNumberScheduled", json!(0)),
    ];
    for (kind, part, field, value) in gone {
        let mut live = settled(kind, Value::Null);
        live[part][field] = value;
        assert_eq!(decided(kind, &live, &pods, RESTART), Verdict::Gone, "{kind:?} {part}.{field}");
    }
}

#[test]
fn one_change_is_one_restart() {
    let kind = WorkloadKind::Deployment;
    let useless = |pod: &str| Verdict::Useless { pod: pod.to_owned() };
    let restarted = json!({RESTARTED_AT: RESTART, RESTARTED_FOR: FINGERPRINT});
    let (trial, later) = ("2026-01-01T10:05:00Z", "2026-01-01T10:20:00Z");
    let old = || pod("a", "2026-01-01T09:00:00Z", None);
    let early = || pod("c", "2026-01-01T10:01:00Z", Some(RESTART));
    let late = || pod("b", "2026-01-01T10:15:00Z", Some(RESTART));
    let table: [(&str, Value, Vec<Lacking>, &str, Verdict); 9] = [
        ("nobody has restarted it", Value::Null, vec![old()], trial, Verdict::Restart),
        ("somebody else has", json!({RESTARTED_AT: RESTART}), vec![early()], trial, Verdict::Restart),
        (
            "it was for another sidecar",
            json!({RESTARTED_AT: RESTART, RESTARTED_FOR: "older"}),
            vec![early()],
            trial,
            Verdict::Restart,
        ),
        ("its pods are on their way out", restarted.clone(), vec![old()], trial, Verdict::Rolling),
        ("a pod of the restart lacks it", restarted.clone(), vec![early()], trial, useless("c")),
        ("still, much later", restarted.clone(), vec![early()], later, useless("c")),
        ("a later pod was missed", restarted.clone(), vec![late()], later, Verdict::Restart),
        ("both", restarted, vec![late(), early()], later, useless("b")),
        (
            "a time that nobody can read",
            json!({RESTARTED_AT: "yesterday", RESTARTED_FOR: FINGERPRINT}),
            vec![pod("d", RESTART, Some("yesterday"))],
            later,
            useless("d"),
        ),
    ];
    for (what, annotations, pods, now, expected) in table {
        assert_eq!(decided(kind, &settled(kind, annotations), &pods, now), expected, "{what}");
    }
}

#[test]
fn a_restart_that_has_replaced_every_pod_is_waited_for_ten_minutes() {
    let kind = WorkloadKind::StatefulSet;
    let (trial, later) = ("2026-01-01T10:05:00Z", "2026-01-01T10:20:00Z");
    let annotations = |fingerprint: &str| json!({RESTARTED_AT: RESTART, RESTARTED_FOR: fingerprint});
    for (what, fingerprint, available, now, expected) in [
        ("its new pod is not ready", FINGERPRINT, 1, trial, Verdict::Rolling),
        ("it is", FINGERPRINT, 2, trial, Verdict::Gone),
        ("it takes too long", FINGERPRINT, 1, later, Verdict::Gone),
        ("that is not of our doing", "older", 1, trial, Verdict::Gone),
    ] {
        let mut live = settled(kind, annotations(fingerprint));
        live["status"]["availableReplicas"] = json!(available);
        assert_eq!(decided(kind, &live, &[], now), expected, "{what}");
    }
}

#[test]
fn a_budget_that_selects_the_pods_and_allows_nothing_forbids_it() {
    let kind = WorkloadKind::Deployment;
    let budget_of = |selector: Value, generation: i64, allowed: Value| -> PodDisruptionBudget {
        let body = json!({"metadata": {"name": "pdb", "generation": generation}, "spec": {"selector": selector},
            "status": {"observedGeneration": 2, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
        serde_json::from_value(body).expect("a budget")
    };
    let mine = || json!({"matchLabels": {"app": "x"}});
    for (what, selector, generation, allowed, forbids) in [
        ("none allowed", mine(), 2, json!(0), true),
        ("every pod of the namespace", json!({}), 2, json!(0), true),
        ("one allowed", mine(), 2, json!(1), false),
        ("its controller has not seen it", mine(), 3, json!(1), true),
        ("other pods", json!({"matchLabels": {"app": "y"}}), 2, json!(0), false),
        ("no pods", Value::Null, 2, json!(0), false),
        (
            "by expression",
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
            2,
            json!(0),
            true,
        ),
    ] {
        let live = settled(kind, Value::Null);
        let found = budget(&workload(kind), &live, &[budget_of(selector, generation, allowed)]);
        assert_eq!(found.is_some(), forbids, "{what}: {found:?}");
        assert!(
            found.is_none_or(|why| why.contains("PodDisruptionBudget/pdb") && why.contains("Deployment/web"))
        );
    }
}

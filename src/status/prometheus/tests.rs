//! What Prometheus says → conditions, and what Ready makes of them.

use serde_json::json;

use super::*;
use crate::apply::{AppliedChild, Verb};
use crate::observed::Observed;
use crate::profile::Condition;
use crate::status::{Outcome, status};
use crate::validate::{fixture, fixture_with};

const SLO: &str = "slos: [{name: calls, objective: '99.5', ratio: {bad: errors_total, total: calls_total}}]";

fn profile(mode: &str) -> ValidatedProfile {
    let spec = format!(
        "selector: {{matchLabels: {{app: x}}}}\nservice: {{name: x}}\nmetrics: {{prometheus: {mode}}}\n{SLO}"
    );
    let kinds = [ChildKind::PodMonitor, ChildKind::ServiceMonitor, ChildKind::PrometheusRule];
    if mode == "Operator" {
        return fixture_with(&spec, &Observed { served: kinds.into(), ..Observed::default() });
    }
    fixture(&spec)
}

/// Every Deployment has its pods.
fn applied(plan: &Plan) -> Applied {
    let deployments = plan.children.iter().filter(|child| child.kind == ChildKind::Deployment);
    let children = deployments.map(|child| AppliedChild {
        kind: child.kind,
        name: child.name.clone(),
        verb: Verb::Unchanged,
        live: json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}, "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}),
    });
    Applied { children: children.collect(), ..Applied::default() }
}

fn prometheus(managed: bool) -> Prometheus {
    Prometheus { name: "Prometheus a/b".to_owned(), url: "http://prometheus:9090".to_owned(), managed }
}

fn seen<T>(seen: T) -> Sight<T> {
    Sight::Seen { prometheus: prometheus(false), seen }
}

fn up() -> Sight<Targets> {
    seen(Targets::Active { down: Vec::new(), pending: false })
}

fn loaded() -> Rules {
    let loaded = ["media/trakt/calls", "media/trakt/calls/period"].map(str::to_owned).into();
    Rules { refused: false, loaded, failing: Vec::new() }
}

fn health(application: Sight<Targets>, collector: Sight<Targets>, rules: Sight<Rules>) -> Health {
    Health { application, collector, rules: Some(rules), series: None }
}

fn conditions(
    profile: &ValidatedProfile,
    health: Option<Health>,
    present: &TelemetryProfileStatus,
) -> Vec<Condition> {
    let plan = crate::plan::plan(profile).expect("a plan");
    let running = Running { health, ..Running::default() };
    let outcome = Outcome::Applied { profile, plan: &plan, applied: &applied(&plan), running: &running };
    status(present, 1, &outcome, "2026-01-01T00:00:00Z").conditions
}

/// Status, reason and message of a condition.
fn told(conditions: &[Condition], kind: ConditionType) -> (ConditionStatus, String, String) {
    let condition = value_of(conditions, kind).expect("the condition");
    (condition.status, condition.reason.clone(), condition.message.clone())
}

#[test]
fn all_is_well_only_when_targets_and_rules_are() {
    let well =
        conditions(&profile("Operator"), Some(health(up(), up(), seen(loaded()))), &Default::default());
    for (kind, reason) in [
        (ConditionType::ScrapeTargetsUp, "TargetsUp"),
        (ConditionType::RulesProvisioned, "RulesLoaded"),
        (ConditionType::Ready, "AllReady"),
    ] {
        let (status, found, message) = told(&well, kind);
        assert_eq!((status, found.as_str()), (ConditionStatus::True, reason), "{message}");
    }
}

#[test]
fn each_trouble_with_targets_has_its_reason_and_its_fix() {
    let target = |pod: &str, error: &str| Target {
        pod: format!("media/{pod}"),
        port: 8081,
        path: "/metrics".to_owned(),
        error: error.to_owned(),
    };
    let down = |error: &str| {
        seen(Targets::Active {
            down: ["a", "b", "c", "d"].map(|pod| target(pod, error)).into(),
            pending: true,
        })
    };
    let unreachable = |managed| Sight::Unreachable {
        prometheus: prometheus(managed),
        error: "Connection refused (os error 111)".to_owned(),
    };
    use ConditionStatus::{False, Unknown};
    let cases = [
        (
            down("connection refused"),
            up(),
            False,
            "TargetsDown",
            vec![
                "pod media/a port 8081 path /metrics: connection refused",
                "and others",
                "set spec.metrics.port and spec.metrics.path",
            ],
        ),
        (down("no answer in time"), up(), False, "TargetsDown", vec!["NetworkPolicy"]),
        (up(), down("no answer in time"), False, "TargetsDown", vec!["app.kubernetes.io/name=prometheus"]),
        (seen(Targets::Active { down: vec![], pending: true }), up(), False, "TargetsPending", vec![]),
        (
            seen(Targets::NoTargets),
            up(),
            False,
            "NoTargets",
            vec!["allowed to list pods in the namespace media"],
        ),
        (seen(Targets::NoPods), up(), Unknown, "NoPods", vec!["spec.selector"]),
        // What is broken goes before what nobody knows.
        (
            seen(Targets::NoPods),
            seen(Targets::NoTargets),
            False,
            "NoTargets",
            vec!["Deployment/trakt-collector"],
        ),
        (
            seen(Targets::NotLoaded { refused: false }),
            up(),
            False,
            "TargetsNotLoaded",
            vec!["PodMonitor/trakt-metrics"],
        ),
        (
            seen(Targets::NotLoaded { refused: true }),
            up(),
            False,
            "TargetsNotLoaded",
            vec!["refused its last configuration"],
        ),
        (
            up(),
            Sight::Unselected(vec!["Prometheus a/b wants x=y".to_owned()]),
            False,
            "NotSelected",
            vec!["no Prometheus selects ServiceMonitor/trakt-collector: Prometheus a/b wants x=y"],
        ),
        (
            unreachable(true),
            up(),
            False,
            "PrometheusUnreachable",
            vec!["http://prometheus:9090", "NetworkPolicy"],
        ),
        (
            unreachable(false),
            up(),
            Unknown,
            "PrometheusUnreachable",
            vec!["Connection refused", "--prometheus-url"],
        ),
        (
            Sight::Nobody("there is none".to_owned()),
            Sight::Nobody("there is none".to_owned()),
            Unknown,
            "NotVerified",
            vec!["PodMonitor/trakt-metrics and ServiceMonitor/trakt-collector", "there is none"],
        ),
    ];
    for (application, collector, status, reason, words) in cases {
        let health = health(application, collector, seen(loaded()));
        let conditions = conditions(&profile("Operator"), Some(health.clone()), &Default::default());
        let (found, found_reason, message) = told(&conditions, ConditionType::ScrapeTargetsUp);
        assert_eq!((found, found_reason.as_str()), (status, reason), "{health:?}: {message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
        let ready = told(&conditions, ConditionType::Ready);
        assert_eq!(ready.0 == ConditionStatus::False, status == False, "{ready:?}");
        if status == False {
            assert_eq!((ready.1.as_str(), ready.2), (reason, format!("ScrapeTargetsUp: {message}")));
        }
    }
}

#[test]
fn each_trouble_with_rules_has_its_reason() {
    let failing = Failing {
        group: "media/trakt/calls".to_owned(),
        rule: "slo:events:increase".to_owned(),
        error: "it is wrong".to_owned(),
    };
    use ConditionStatus::{False, True, Unknown};
    let unreachable =
        |managed| Sight::Unreachable { prometheus: prometheus(managed), error: "HTTP 503".to_owned() };
    let cases = [
        (
            seen(Rules { loaded: BTreeSet::new(), ..loaded() }),
            False,
            "RulesNotLoaded",
            "media/trakt/calls, media/trakt/calls/period of PrometheusRule/trakt-slo",
        ),
        (
            seen(Rules { refused: true, ..loaded() }),
            False,
            "RulesNotLoaded",
            "refused its last configuration",
        ),
        (
            seen(Rules { failing: vec![failing], ..loaded() }),
            False,
            "RulesFailing",
            "slo:events:increase of media/trakt/calls: it is wrong",
        ),
        (Sight::Unselected(vec!["no".to_owned()]), False, "NotSelected", "PrometheusRule/trakt-slo"),
        (unreachable(true), False, "PrometheusUnreachable", "HTTP 503"),
        (unreachable(false), Unknown, "PrometheusUnreachable", "HTTP 503"),
        (Sight::Nobody("nobody".to_owned()), True, "Provisioned", "nobody"),
    ];
    for (rules, status, reason, word) in cases {
        let conditions =
            conditions(&profile("Operator"), Some(health(up(), up(), rules)), &Default::default());
        let (found, found_reason, message) = told(&conditions, ConditionType::RulesProvisioned);
        assert_eq!((found, found_reason.as_str()), (status, reason), "{message}");
        assert!(message.contains(word), "{word:?} is not in {message}");
        assert_eq!(told(&conditions, ConditionType::Ready).0 == False, status == False);
    }
}

/// Before the first answer nothing is called ready, and a fresh operator does not forget what was known.
#[test]
fn no_answer_yet_is_not_ready_and_not_news() {
    for mode in ["Operator", "Managed"] {
        let profile = profile(mode);
        let first = conditions(&profile, None, &Default::default());
        assert_eq!(told(&first, ConditionType::ScrapeTargetsUp).1, "TargetsPending");
        assert_eq!(told(&first, ConditionType::RulesProvisioned).1, "RulesPending");
        assert_eq!(told(&first, ConditionType::Ready).0, ConditionStatus::False);

        let well = conditions(&profile, Some(health(up(), up(), seen(loaded()))), &Default::default());
        let present = |generation| TelemetryProfileStatus {
            observed_generation: Some(generation),
            conditions: well.clone(),
            ..Default::default()
        };
        assert_eq!(conditions(&profile, None, &present(1)), well, "the same after a restart");
        let edited = conditions(&profile, None, &present(0));
        assert_eq!(
            told(&edited, ConditionType::Ready).1,
            "TargetsPending",
            "another profile, another answer"
        );
    }
}

#[test]
fn files_without_an_address_to_ask_stay_unverified() {
    let found = conditions(&profile("ConfigMap"), None, &Default::default());
    let (status, reason, message) = told(&found, ConditionType::ScrapeTargetsUp);
    assert_eq!((status, reason.as_str()), (ConditionStatus::Unknown, "NotVerified"));
    assert!(message.contains("ConfigMap/trakt-metrics") && message.contains("--prometheus-url"), "{message}");
    assert_eq!(told(&found, ConditionType::RulesProvisioned).1, "Provisioned");
    assert_eq!(told(&found, ConditionType::Ready).0, ConditionStatus::True);
}

#[test]
fn a_managed_prometheus_that_is_not_ready_is_not_asked() {
    let profile = profile("Managed");
    let plan = crate::plan::plan(&profile).expect("a plan");
    let mut applied = applied(&plan);
    for child in applied.children.iter_mut().filter(|child| child.name == "trakt-prometheus") {
        child.live["status"]["availableReplicas"] = json!(0);
    }
    let running = Running::default();
    let outcome = Outcome::Applied { profile: &profile, plan: &plan, applied: &applied, running: &running };
    let conditions = status(&Default::default(), 1, &outcome, "2026-01-01T00:00:00Z").conditions;
    assert_eq!(told(&conditions, ConditionType::ScrapeTargetsUp).1, "PodsStarting");
    assert_eq!(told(&conditions, ConditionType::RulesProvisioned).1, "RulesPending");
}

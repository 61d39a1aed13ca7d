//! What is absent → the condition `MetricsPresent`, which `Ready` does not wait for.

use crate::apply::Applied;
use crate::health::{
    Cause, Health, Missing, Need, NeedKind, Prometheus, Report, Rules, Sight, Targets, needs,
};
use crate::plan::slo;
use crate::profile::{Condition, ConditionStatus, HistogramType, TelemetryProfileStatus};
use crate::status::conditions::ConditionType;
use crate::status::{Outcome, Running, status, value_of};
use crate::validate::{ValidatedProfile, fixture};

fn profile(more: &str) -> ValidatedProfile {
    let spec = format!(
        "selector: {{matchLabels: {{app: x}}}}\nservice: {{name: x}}\nmetrics: {{prometheus: ConfigMap}}\n{more}"
    );
    let mut profile = fixture(&spec);
    profile.prometheus_url = Some("http://prometheus:9090".to_owned());
    profile
}

const SLOS: &str = "slos:
- {name: calls, objective: '99', ratio: {bad: errors_total, total: 'calls_total{code=\"2\"}'}}
- {name: fast, objective: '99', latency: {histogram: h, threshold: '0.3'}}";

fn seen<T>(seen: T) -> Sight<T> {
    let url = "http://prometheus:9090".to_owned();
    Sight::Seen { prometheus: Prometheus { name: "P".to_owned(), url, managed: false }, seen }
}

fn health(profile: &ValidatedProfile, pending: bool, series: Option<Sight<Report>>) -> Health {
    let targets = || seen(Targets::Active { down: Vec::new(), pending });
    let rules = Rules { refused: false, loaded: slo::group_names(profile), failing: Vec::new() };
    Health { application: targets(), collector: targets(), rules: Some(seen(rules)), series }
}

fn conditions(
    profile: &ValidatedProfile,
    health: Option<Health>,
    present: &TelemetryProfileStatus,
) -> Vec<Condition> {
    let plan = crate::plan::plan(profile).expect("a plan");
    let running = Running { health, ..Running::default() };
    let outcome = Outcome::Applied { profile, plan: &plan, applied: &Applied::default(), running: &running };
    status(present, 1, &outcome, "2026-01-01T00:00:00Z").conditions
}

fn told(conditions: &[Condition]) -> (ConditionStatus, &str, &str) {
    let condition = value_of(conditions, ConditionType::MetricsPresent).expect("the condition");
    (condition.status, &condition.reason, &condition.message)
}

/// A report in which these needs, by number, are absent for these causes.
fn report(profile: &ValidatedProfile, missing: &[(usize, Cause)], others: usize) -> Option<Sight<Report>> {
    let needs = needs(profile);
    let all =
        missing.iter().map(|(number, cause)| Missing { need: needs[*number].clone(), cause: cause.clone() });
    let (unused, missing) = all.partition(|missing: &Missing| missing.need.kind == NeedKind::Part);
    Some(seen(Report { needs, missing, others, unused }))
}

#[test]
fn each_cause_has_its_words() {
    let profile = profile(SLOS);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let bound = |below: Option<&str>, above: Option<&str>| {
        Cause::Bound("0.3".to_owned(), below.map(str::to_owned), above.map(str::to_owned))
    };
    let code = "code=\"2\"".to_owned();
    for (number, cause, reason, part) in [
        (
            0,
            Cause::Unknown,
            "MetricsMissing",
            "P: calls_total{code=\"2\"} of SLO calls (ratio.total): correct",
        ),
        (0, Cause::Name(vec![]), "MetricsMissing", "no metric has this name or a similar one"),
        (0, Cause::Name(texts(&["a", "b"])), "MetricsMissing", "no metric has this name; similar are a, b"),
        (2, Cause::OtherType(HistogramType::Native), "MetricsMissing", "set latency.type to Native"),
        (2, Cause::OtherType(HistogramType::Classic), "MetricsMissing", "set latency.type to Classic"),
        (
            0,
            Cause::Label("code".to_owned(), texts(&["status"])),
            "MetricsMissing",
            "no label code; it has status",
        ),
        (
            0,
            Cause::Label("code".to_owned(), vec![]),
            "MetricsMissing",
            "the metric has no label code: correct",
        ),
        (
            0,
            Cause::Value(code.clone(), texts(&["\"200\""])),
            "MetricsMissing",
            "code=\"2\" selects nothing; values that the label has: \"200\"",
        ),
        (0, Cause::Value(code, vec![]), "MetricsMissing", "code=\"2\" selects nothing: correct"),
        (0, Cause::Together, "MetricsMissing", "no series fits all matchers"),
        (3, Cause::NoBuckets, "MetricsMissing", "it has no buckets"),
        (
            3,
            bound(Some("0.25"), Some("0.5")),
            "ThresholdNotABound",
            "h of SLO fast (latency): the threshold 0.3 is no bound of its buckets; the nearest are 0.25 and 0.5: give",
        ),
        (3, bound(None, Some("0.5")), "ThresholdNotABound", "the nearest is 0.5: give"),
    ] {
        let series = report(&profile, &[(number, cause.clone())], 0);
        let found = conditions(&profile, Some(health(&profile, false, series)), &Default::default());
        let (status, found, message) = told(&found);
        assert_eq!((status, found), (ConditionStatus::False, reason), "{message}");
        assert!(message.contains(part), "{cause:?}: {message}");
    }
}

#[test]
fn what_is_absent_is_told_and_does_not_hold_ready_back() {
    let profile = profile(SLOS);
    let status_of = |series| conditions(&profile, Some(health(&profile, false, series)), &Default::default());
    let bound = Cause::Bound("0.3".to_owned(), Some("0.25".to_owned()), None);
    let found = status_of(report(&profile, &[(0, Cause::Together), (3, bound)], 2));
    let (status, reason, message) = told(&found);
    assert_eq!((status, reason), (ConditionStatus::False, "MetricsMissing"), "{message}");
    assert!(message.contains("; and 2 others: "), "{message}");
    let ready = value_of(&found, ConditionType::Ready).expect("Ready");
    assert!(!ready.message.contains("MetricsPresent"), "{ready:?}");

    let found = status_of(report(&profile, &[], 0));
    assert_eq!(
        told(&found),
        (ConditionStatus::True, "MetricsFound", "P has every series that the SLOs and instruments need")
    );

    let found = status_of(report(&profile, &[(1, Cause::Name(vec!["error_total".to_owned()]))], 0));
    let (status, _, message) = told(&found);
    assert_eq!(status, ConditionStatus::True);
    assert!(message.ends_with("no such event: errors_total of SLO calls (ratio.bad): no metric has this name; similar are error_total"), "{message}");
}

#[test]
fn what_nobody_has_looked_for_is_unknown() {
    use ConditionStatus::Unknown;
    let with = profile(SLOS);
    let none = TelemetryProfileStatus::default();
    let of = |health: Option<Health>, present: &TelemetryProfileStatus| {
        let found = conditions(&with, health, present);
        let (status, reason, _) = told(&found);
        (status, reason.to_owned())
    };
    let unknown = |reason: &str| (Unknown, reason.to_owned());
    assert_eq!(of(Some(health(&with, true, None)), &none), unknown("TargetsPending"));
    assert_eq!(of(Some(health(&with, false, None)), &none), unknown("MetricsPending"));
    let prometheus = Prometheus { name: "P".to_owned(), url: "http://p".to_owned(), managed: false };
    let silent = Sight::Unreachable { prometheus, error: "HTTP 503".to_owned() };
    assert_eq!(of(Some(health(&with, false, Some(silent))), &none), unknown("PrometheusUnreachable"));
    let nobody = Sight::Nobody("no".to_owned());
    assert_eq!(of(Some(health(&with, false, Some(nobody))), &none), unknown("NotVerified"));
    let older = profile("slos: [{name: x, objective: '99', freshness: {counter: c, maxAge: 1h}}]");
    assert_eq!(of(Some(health(&with, false, report(&older, &[], 0))), &none), unknown("MetricsPending"));

    // A fresh operator keeps what was known of the same generation.
    let before = conditions(&with, Some(health(&with, false, report(&with, &[], 0))), &none);
    let present =
        TelemetryProfileStatus { observed_generation: Some(1), conditions: before, ..Default::default() };
    assert_eq!(of(None, &present), (ConditionStatus::True, "MetricsFound".to_owned()));

    let bare = profile("");
    let found = conditions(&bare, Some(health(&bare, false, None)), &none);
    assert_eq!((told(&found).0, told(&found).1), (Unknown, "NotRequested"));
    assert_eq!(needs(&bare), Vec::<Need>::new());
}

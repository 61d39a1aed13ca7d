use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::render::{Assumptions, planned};
use crate::settings::Settings;
use crate::validate::{Slo, ValidatedProfile};

fn profiles(text: &str) -> Vec<ValidatedProfile> {
    let planned = planned("profile.yaml", text, &Assumptions::default(), &Settings::default());
    planned
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .into_iter()
        .map(|(profile, _)| profile)
        .collect()
}

fn exported(profiles: &[ValidatedProfile]) -> String {
    let slos: Vec<_> =
        profiles.iter().flat_map(|profile| profile.slos.iter().map(move |slo| (profile, slo))).collect();
    export(&slos).expect("YAML")
}

fn imported(text: &str) -> Vec<Slo> {
    let slos = import("openslo.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let slos: Value = serde_yaml::from_str(&slos).expect(&slos);
    let profile = json!({
        "apiVersion": "telemetry-operator.dev/v1alpha1",
        "kind": "TelemetryProfile",
        "metadata": {"name": "again"},
        "spec": {"selector": {"matchLabels": {"app": "again"}}, "service": {"name": "again"}, "slos": slos["slos"]},
    });
    profiles(&profile.to_string()).remove(0).slos
}

/// What OpenSLO has words for.
fn sayable(slo: &Slo) -> (String, u32, u32, String, Vec<String>) {
    let Slo { name, objective, window_days, indicator, group_by, .. } = slo;
    (name.clone(), objective.0, *window_days, format!("{indicator:?}"), group_by.clone())
}

#[test]
fn what_is_exported_comes_back_from_every_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut round_trips = 0;
    for entry in fs::read_dir(folder).expect("examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let profiles = profiles(&fs::read_to_string(&path).expect("an example"));
        let text = exported(&profiles);
        let mut missing: Vec<_> = profiles.iter().flat_map(|profile| &profile.slos).map(sayable).collect();
        missing.retain(|slo| !text.contains(&format!("# left out: SLO {} of", slo.0)));
        if !missing.is_empty() {
            let back: Vec<_> = imported(&text).iter().map(sayable).collect();
            assert_eq!(back, missing, "{}", path.display());
            round_trips += back.len();
        }
    }
    assert!(round_trips >= 5, "{round_trips}");
}

/// Selectors, thresholds and objectives that are easily spoilt on the way.
#[test]
fn nothing_is_lost_on_the_way() {
    for (slo, comes_back) in [
        ("objective: '99.9999', ratio: {bad: 'a{b=~\"5..|\\\\d\",c!=\"\",d!~`x\"y`}', total: a}", true),
        (
            "objective: '70.07', window: 90d, groupBy: [route, job], ratio: {good: g, total: 't{l=\"$x {{y}}\"}'}, alerting: {page: false}",
            true,
        ),
        ("objective: '99.9', window: 4w, latency: {histogram: 'h{a=\"b\"}', threshold: '1'}", true),
        ("objective: '99', latency: {histogram: h, threshold: '0.00005'}", true),
        ("objective: '99', latency: {histogram: h, threshold: '2.5'}", true),
        ("objective: '99', latency: {histogram: h, threshold: '2.5', type: Native}", false),
        ("objective: '99', operation: {name: 'GET /'}", false),
        ("objective: '99', freshness: {counter: runs_total, maxAge: 1h}", false),
    ] {
        let profiles = profiles(&format!(
            "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {{name: shop}}\n\
             spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service: {{name: shop}}\n  slos:\n  - {{name: calls, {slo}}}\n"
        ));
        let text = exported(&profiles);
        if comes_back {
            assert_eq!(sayable(&imported(&text)[0]), sayable(&profiles[0].slos[0]), "{text}");
        } else {
            assert!(text.starts_with("# left out: SLO calls of default/shop: "), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

#[test]
fn alerting_is_named_as_left_out() {
    let profiles = profiles(
        "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {name: shop}\n\
         spec:\n  selector: {matchLabels: {app: shop}}\n  service: {name: shop}\n  slos:\n  - name: calls\n    objective: '99'\n\
         \x20   ratio: {bad: errors_total, total: calls_total}\n\
         \x20   alerting: {page: false, minimumEvents: 20, absentAfter: 2h, labels: {team: a}}\n",
    );
    let text = exported(&profiles);
    let comments: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# left out: ")).collect();
    assert_eq!(
        comments,
        [
            "alerting.page: false",
            "alerting.labels.team: \"a\"",
            "alerting.minimumEvents: 20",
            "alerting.absentAfter: 2h"
        ]
    );
}

/// As others write it: a reference to an SLI, rates, a window that they put in, texts for people.
const FOREIGN: &str = "\
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: availability, displayName: Availability}
spec:
  ratioMetric:
    bad:
      metricSource:
        type: prometheus
        spec: {query: 'sum(rate(calls_total{code=~\"5..\"}[{{.window}}]))'}
    total:
      metricSource:
        metricSourceRef: main
        spec: {query: 'sum(rate(calls_total[{{.window}}]))'}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: calls}
spec:
  description: Calls that do not fail.
  service: shop
  indicatorRef: availability
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: all, targetPercent: 99.95}]
  alertPolicies: [fast]
";

#[test]
fn documents_of_others() {
    assert_eq!(
        import("openslo.yaml", FOREIGN).expect("an SLO"),
        "\
# left out: openslo.yaml:2: kind: a profile takes nothing of Service: its alerts follow from objective and period
# left out: openslo.yaml:30: spec.alertPolicies: a profile's SLO has no such field
# left out: openslo.yaml:24: spec.description: a profile's SLO has no such field
# left out: openslo.yaml:25: spec.service: a profile's SLO has no such field
# left out: openslo.yaml:29: spec.objectives[0].displayName: a profile's SLO has no such field
# left out: openslo.yaml:8: metadata.displayName: a profile's SLO has no such field
# left out: openslo.yaml:17: spec.ratioMetric.total.metricSource.metricSourceRef: a profile's SLO has no such field
slos:
- name: calls
  objective: \"99.95\"
  window: 4w
  ratio:
    bad: calls_total{code=~\"5..\"}
    total: calls_total
"
    );
}

/// The lines and paths at which a file is refused.
fn refused(text: &str) -> Vec<(usize, String)> {
    match import("openslo.yaml", text) {
        Err(OpenSloError::Refused(refusals)) => refusals
            .into_iter()
            .map(|refusal| {
                assert!(!refusal.message.is_empty() && !refusal.fix.is_empty(), "{refusal}");
                (refusal.line, refusal.path)
            })
            .collect(),
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn what_a_profile_cannot_say_is_refused_where_it_stands() {
    for (find, instead, line, path) in [
        ("apiVersion: openslo/v1\nkind: SLO", "apiVersion: openslo/v1alpha\nkind: SLO", 20, "apiVersion"),
        ("kind: Service", "kind: Servise", 2, "kind"),
        ("  ratioMetric:", "  thresholdMetric:", 10, "spec.thresholdMetric"),
        ("type: prometheus", "type: Datadog", 13, "spec.ratioMetric.bad.metricSource.type"),
        (
            "sum(rate(calls_total[{{.window}}]))",
            "avg(calls_total)",
            18,
            "spec.ratioMetric.total.metricSource.spec.query",
        ),
        (
            "sum(rate(calls_total[{{.window}}]))",
            "sum(calls_total)",
            18,
            "spec.ratioMetric.total.metricSource.spec.query",
        ),
        ("sum(rate(calls_total[{{.window}}]))", "sum by (x) (rate(calls_total[1m]))", 10, "spec.ratioMetric"),
        ("indicatorRef: availability", "indicatorRef: other", 26, "spec.indicatorRef"),
        ("isRolling: true", "isRolling: false", 27, "spec.timeWindow[0].isRolling"),
        ("isRolling: true", "isRolling: true, calendar: {timeZone: UTC}", 27, "spec.timeWindow[0].calendar"),
        ("duration: 4w", "duration: 1M", 27, "spec.timeWindow[0].duration"),
        ("duration: 4w", "duration: 52w", 27, "spec.timeWindow"),
        ("Occurrences", "Timeslices", 28, "spec.budgetingMethod"),
        ("targetPercent: 99.95", "targetPercent: 99.99999", 29, "spec.objectives[0]"),
        ("targetPercent: 99.95", "target: 1", 29, "spec.objectives[0]"),
        ("targetPercent: 99.95}", "target: 0.9}, {target: 0.8}", 29, "spec.objectives"),
        (
            "targetPercent: 99.95",
            "target: 0.9, timeSliceTarget: 0.9",
            29,
            "spec.objectives[0].timeSliceTarget",
        ),
        ("metadata: {name: calls}", "metadata: {name: Calls}", 22, "metadata.name"),
        ("  description: Calls", "  severity: Calls", 24, "spec.severity"),
    ] {
        assert!(FOREIGN.contains(find), "{find}");
        let text = FOREIGN.replacen(find, instead, if find.starts_with("apiVersion") { 3 } else { 1 });
        let refused = refused(&text);
        assert!(refused.iter().any(|(l, p)| (*l, p.as_str()) == (line, path)), "{instead}: {refused:?}");
    }
    assert_eq!(refused(""), [(1, String::new())]);
    assert_eq!(refused("a: ["), [(1, String::new())]);
}

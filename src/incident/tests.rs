//! What is made of promtool's words; that the words are promtool's own is for tests/it/slo_cli.rs.

use super::*;
use crate::render::{Assumptions, planned};
use crate::settings::Settings;

fn profile(fields: &str) -> ValidatedProfile {
    let text = format!(
        "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {{name: shop, namespace: media}}\n\
         spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service: {{name: shop}}\n  slos:\n  - {{name: calls, {fields}}}\n"
    );
    let profiles = planned("shop.yaml", &text, &Assumptions::default(), &Settings::default());
    profiles.unwrap_or_else(|error| panic!("{error}")).remove(0).0
}

const CALLS: &str =
    "objective: '99.9', ratio: {bad: errors_total, total: calls_total}, alerting: {ticket: false}";
/// A full outage of half an hour: above 52 s and 130 s of it pages are due, and 75 s are for measuring.
const OUTAGE: Incident = Incident { bad_percent: 100.0, seconds: 1800, events_per_second: 10.0 };
/// Seconds of good traffic before: six hours, and time to measure it.
const QUIET: f64 = 21_690.0;

/// What promtool prints when it got these: first, last and number of evaluations of the two pages, in seconds of the play.
fn printed(answers: [&str; 5]) -> String {
    let answer = |answer: &&str| {
        format!("    expr: \"x\", time: 1s,\n        exp: {{never=\"this\"}} 0E+00\n        got: {answer}\n")
    };
    format!("  FAILED:\n{}", answers.iter().map(answer).collect::<String>())
}

fn pages(fast: f64, medium: f64) -> String {
    let page =
        |tier: &str, value: f64| format!("{{alertname=\"ErrorBudgetBurn\", slo_tier=\"{tier}\"}} {value:E}");
    format!("{}, {}", page("fast", fast), page("medium", medium))
}

/// The findings when the pages fire and stop these seconds after the incident's beginning.
fn findings(incident: Incident, fast: (f64, f64), medium: (f64, f64)) -> Vec<String> {
    let profile = profile(CALLS);
    let play = Play::new(&profile, &profile.slos[0], incident).expect("a play");
    assert_eq!(f64::from(play.times.quiet), QUIET);
    // The last evaluation in which it fires is 30 s before the one in which it does not.
    let first = pages(QUIET + fast.0, QUIET + medium.0);
    let last = pages(QUIET + fast.1 - 30.0, QUIET + medium.1 - 30.0);
    let evaluations = pages((fast.1 - fast.0) / 30.0, (medium.1 - medium.0) / 30.0);
    let outcome =
        play.outcome(&printed([&first, &last, &evaluations, "{} 1E+00", "{} 3.05E-01"])).expect("an outcome");
    assert!((outcome.budget_after_percent - 30.5).abs() < 1e-9);
    assert_eq!(outcome.is_finding(), outcome.to_string().contains("not as computed"), "{outcome}");
    outcome.tiers.into_iter().filter_map(|tier| tier.finding).collect()
}

#[test]
fn alerts_in_time_are_no_finding() {
    assert!(findings(OUTAGE, (90.0, 2130.0), (180.0, 3630.0)).is_empty());
    // The latest times: 51.9 + 75 and 129.7 + 75 after the beginning; 295.68 + 75 and 1789.2 + 75 after the end.
    assert!(findings(OUTAGE, (120.0, 2160.0), (204.0, 3660.0)).is_empty());
}

#[test]
fn alerts_out_of_time_are() {
    assert_eq!(findings(OUTAGE, (150.0, 2130.0), (180.0, 3630.0)), ["it fired too late"]);
    assert_eq!(findings(OUTAGE, (-30.0, 2130.0), (180.0, 3630.0)), ["it fired in good traffic"]);
    assert_eq!(findings(OUTAGE, (90.0, 2190.0), (180.0, 3690.0)), ["it stopped too late"; 2]);
    let short = Incident { seconds: 30, ..OUTAGE };
    assert_eq!(
        findings(short, (60.0, 390.0), (60.0, 1890.0)),
        ["it fired although the incident was too short for it"]
    );
    let mild = Incident { bad_percent: 1.0, ..OUTAGE };
    assert_eq!(
        findings(mild, (90.0, 2130.0), (60.0, 1890.0))[0],
        "it fired although this share of bad events is too low for it"
    );
}

#[test]
fn silence_is_a_finding_where_an_alert_is_due() {
    let profile = profile(CALLS);
    let outcome = |incident: Incident, first: &str| {
        let play = Play::new(&profile, &profile.slos[0], incident).expect("a play");
        play.outcome(&printed([first, "nil", "nil", "{} 1E+00", "{} 1E+00"])).expect("an outcome")
    };
    let silent = outcome(OUTAGE, "nil");
    let findings: Vec<_> = silent.tiers.iter().map(|tier| tier.finding.as_deref()).collect();
    assert_eq!(findings, [Some("it did not fire"); 2]);
    assert!(!outcome(Incident { seconds: 30, ..OUTAGE }, "nil").is_finding());
    assert!(!outcome(Incident { bad_percent: 0.5, ..OUTAGE }, "nil").is_finding());
    let other = outcome(Incident { bad_percent: 0.5, ..OUTAGE }, "{alertname=\"SLOMetricAbsent\"} 2E+04");
    assert_eq!((other.is_finding(), other.others), (true, vec!["SLOMetricAbsent".to_owned()]));
}

#[test]
fn other_words_of_promtool_are_passed_on() {
    let profile = profile(CALLS);
    let play = Play::new(&profile, &profile.slos[0], OUTAGE).expect("a play");
    for words in
        ["", "  SUCCESS\n", "unknown flag", &printed(["nil", "nil", "nil", "nil", "nil"]), &printed(["x"; 5])]
    {
        match play.outcome(words) {
            Err(IncidentError::Promtool(told)) => assert_eq!(told, words.trim()),
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_played_is_told() {
    let error = |fields: &str| {
        let profile = profile(fields);
        Play::new(&profile, &profile.slos[0], OUTAGE).expect_err("no play").to_string()
    };
    let none = error("objective: '99.9', ratio: {bad: e, total: t}, alerting: {ticket: false, page: false}");
    assert!(none.starts_with("no alert of this SLO is on"), "{none}");
    let same = error("objective: '99.9', ratio: {bad: 'a{b=\"x\"}', total: 'a{b=\"x\"}'}");
    assert!(
        same.contains(
            "an event that a{b=\"x\",namespace=\"media\"} counts and a{b=\"x\",namespace=\"media\"} does not"
        ),
        "{same}"
    );
    let split = error("objective: '99.9', groupBy: [b], ratio: {bad: 'a{b=\"x\"}', total: a}");
    assert!(split.contains("the label b, which tells good events from bad ones"), "{split}");
}

/// With 1 event in 1,000 s the 30 that are asked for are in nine hours, not in six: there must be good ones in all of these.
#[test]
fn the_good_time_is_as_long_as_windows_widen() {
    let profile =
        profile("objective: '99.9', ratio: {bad: e, total: t}, alerting: {ticket: false, minimumEvents: 30}");
    let quiet = |events_per_second| {
        let incident = Incident { events_per_second, ..OUTAGE };
        Play::new(&profile, &profile.slos[0], incident).expect("a play").times.quiet
    };
    assert_eq!((quiet(0.001), quiet(10.0), quiet(0.0001)), (32_490, 21_690, 259_290));
}

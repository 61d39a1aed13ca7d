//! Expected numbers are worked out by hand from the definition of the tiers, not taken from the code.

use super::*;
use crate::render::{Assumptions, planned};
use crate::settings::Settings;

fn explained(fields: &str, events_per_second: Option<f64>) -> SloReport {
    let text = format!(
        "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {{name: shop, namespace: media}}\n\
         spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service: {{name: shop}}\n  slos:\n  - {{name: calls, {fields}}}\n"
    );
    let profiles = planned("shop.yaml", &text, &Assumptions::default(), &Settings::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let profile = &profiles[0].0;
    let traffic =
        events_per_second.map(|events_per_second| Traffic { events_per_second, source: "said".to_owned() });
    report(profile, &profile.slos[0], traffic)
}

const CALLS: &str = "objective: '99.9', ratio: {bad: errors_total, total: calls_total}";
const JOB: &str = "objective: '99', freshness: {counter: runs_total, maxAge: 26h}";

fn fewest(report: &SloReport) -> Vec<u64> {
    report.tiers.iter().filter_map(|tier| tier.fewest_bad_events).collect()
}

#[test]
fn budget_in_minutes_and_events() {
    let budget = explained(CALLS, Some(10.0)).budget;
    // 30 days have 43,200 minutes, and 10 events/s make 25,920,000 events.
    assert!((budget.outage_seconds / 60.0 - 43.2).abs() < 1e-6);
    assert!((budget.bad_events.expect("events") - 25_920.0).abs() < 1e-3);
    assert_eq!(explained(CALLS, None).budget.bad_events, None);
    let time = explained(JOB, Some(10.0));
    assert_eq!((time.traffic, time.budget.events), (None, None), "time has no traffic");
}

#[test]
fn times_have_the_delay_of_measuring() {
    let report = explained(CALLS, None);
    assert_eq!(report.delay.seconds(), 30 + 30 + 15);
    let seconds = |tier: usize, share: usize| report.tiers[tier].detection[share].seconds.map(f64::round);
    // Full outage: 14.4 · 0.001 of an hour; 1 %: 6 · 0.001 / 0.01 of six hours.
    assert_eq!(seconds(0, 0), Some((51.84_f64 + 75.0).round()));
    assert_eq!(seconds(0, 4), None);
    assert_eq!(seconds(1, 4), Some(216.0 * 60.0 + 75.0));
}

#[test]
fn fewest_bad_events_are_the_first_above_the_limit() {
    // In an hour, six, a day and three days at 1/s: above 51.84, 129.6, 259.2 and 259.2.
    assert_eq!(fewest(&explained(CALLS, Some(1.0))), [52, 130, 260, 260]);
    let few = explained(CALLS, Some(0.005));
    assert_eq!(fewest(&few), [1, 1, 2, 2], "18 events in an hour, and 108 in six");
    assert_eq!(few.hints.len(), 1);
    assert!(few.hints[0].contains("fires fast and medium") && few.hints[0].contains("to 167 or more"));
    // What the hint says: 167 events are in 12 hours, which have 216, and 0.0144 of them are 3.1; in a day 0.003 of 432 are 1.3.
    let guarded = explained(&format!("{CALLS}, alerting: {{minimumEvents: 167}}"), Some(0.005));
    assert_eq!(fewest(&guarded), [4, 2, 2, 2]);
    assert!(guarded.hints.is_empty());
    // Never enough: in three days there are 26, and two bad ones are asked for.
    let rare = explained(&format!("{CALLS}, alerting: {{minimumEvents: 167}}"), Some(0.0001));
    assert_eq!(fewest(&rare), [2, 2, 2, 2]);
}

#[test]
fn tiers_without_an_alert_say_why() {
    let reasons = |fields: &str| -> Vec<_> {
        explained(fields, None)
            .left_out
            .into_iter()
            .map(|left_out| (left_out.tier, left_out.reason))
            .collect()
    };
    assert_eq!(reasons(CALLS), []);
    let low = reasons(
        "objective: '90', window: 1d, alerting: {ticket: false}, ratio: {bad: errors_total, total: calls_total}",
    );
    assert_eq!(
        low,
        [
            ("slow", "alerting.ticket is false".to_owned()),
            ("trickle", "looks at the last 3 days, and the period is only 1 day".to_owned()),
        ]
    );
    let low = reasons("objective: '90', ratio: {bad: errors_total, total: calls_total}");
    assert_eq!(
        low,
        [(
            "fast",
            "cannot fire: when every event is bad the burn rate is 10, and it takes more than 14.4"
                .to_owned()
        )]
    );
}

#[test]
fn plain_words() {
    let report = explained(CALLS, Some(10.0));
    assert_eq!(
        report.tiers[0].threshold,
        "pages when more than 1.44 % of the events of the last hour, and of the last 5 minutes, are bad: 2 % of the budget is \
         gone then"
    );
    let text = report.to_string();
    for line in [
        "SLO calls of media/shop: 99.9 % of the events are good over 30 days",
        "  budget       0.1 % of the events: with even traffic 43m 12s of full outage",
        "               at 10 events/s (said): 25,920 bad of 25,920,000 events",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    let time = explained(JOB, None);
    assert_eq!(
        time.tiers[0].threshold,
        "pages when the last success was too old for more than 14.4 % of the last hour (8m 39s), and of the last 5 minutes: 2 % \
         of the budget is gone then"
    );
    assert_eq!(time.tiers[0].detection.len(), 1, "it is too old, or it is not");
    for (number, text) in [
        (0.25, "0.25"),
        (1.0 / 300.0, "0.003333"),
        (12.345, "12.35"),
        (99.0, "99"),
        (999.6, "1,000"),
        (1_234_567.0, "1,234,567"),
    ] {
        assert_eq!(count(number), text);
    }
}

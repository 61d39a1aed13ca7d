//! What a runbook tells people to ask has an answer while its alert fires.

use super::{Expectation, expect, firing, run, slo, slo_scraped};
use crate::common::repository_file;

const RATIO: &str = "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}";
const UP: &str = "up{namespace=\"media\",job=\"media/trakt-metrics\",instance=\"a\"}";

/// The queries of a runbook, for the SLO of [`slo`].
fn queries(runbook: &str) -> Vec<String> {
    let text = repository_file(&format!("docs/runbooks/{runbook}.md"));
    let blocks = text.split("```promql\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let names = [("NAMESPACE", "media"), ("PROFILE", "trakt"), ("SERVICE", "trakt"), ("SLO", "calls")];
    let queries: Vec<_> = blocks
        .map(|(query, _)| {
            names.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
        })
        .collect();
    assert!(queries.len() >= 3, "{runbook} has the queries {queries:?}");
    queries
}

fn has_answer(at: &str, query: &str) -> Expectation {
    expect(at, &format!("count({query}) > bool 0"), &[("{}", 1.0)])
}

#[test]
fn the_queries_of_a_tier_have_answers() {
    let tiers = ["fast", "medium", "slow", "trickle"];
    let queries = tiers.iter().flat_map(|tier| queries(&format!("error-budget-burn-{tier}")));
    let mut expectations = vec![firing("13h", &tiers[..3])];
    expectations.extend(queries.map(|query| has_answer("13h", &query)));
    let spans = |status: &str| {
        format!(
            "traces_span_metrics_calls_total{{namespace=\"media\",service_name=\"trakt\",span_name=\"get\",status_code=\"{status}\"}}"
        )
    };
    // Burn rate 20, above every tier's factor. The slowest waits for another day, which would add nothing but time.
    run(
        &slo_scraped("1m", "99.9", RATIO),
        "1m",
        &[
            ("calls_total{namespace=\"media\",job=\"j\",instance=\"a\",code=\"200\"}", "0+98x800"),
            ("calls_total{namespace=\"media\",job=\"j\",instance=\"a\",code=\"500\"}", "0+2x800"),
            (&spans("STATUS_CODE_UNSET"), "0+98x800"),
            (&spans("STATUS_CODE_ERROR"), "0+2x800"),
        ],
        expectations,
    );
}

#[test]
fn the_queries_for_an_absent_metric_have_answers() {
    let absent = "count(ALERTS{alertname=\"SLOMetricAbsent\", alertstate=\"firing\"})";
    let mut expectations = vec![expect("30m", absent, &[]), expect("2h", absent, &[("{}", 1.0)])];
    expectations.extend(queries("slo-metric-absent").iter().map(|query| has_answer("2h", query)));
    // A release after half an hour has renamed the metric.
    run(
        &slo("99.9", RATIO),
        "30s",
        &[
            (UP, "1x240"),
            ("calls_total{namespace=\"media\",job=\"media/trakt-metrics\",instance=\"a\"}", "0+10x60 stale"),
            (
                "requests_total{namespace=\"media\",job=\"media/trakt-metrics\",instance=\"a\"}",
                "_x60 0+10x180",
            ),
            (
                "traces_span_metrics_calls_total{namespace=\"media\",service_name=\"trakt\",span_name=\"get\"}",
                "0+1x240",
            ),
        ],
        expectations,
    );
}

//! Generated SLO rules under the real promtool: every rule file is valid, and the rules do what they are for when they
//! meet an outage, a slow burn, no traffic, a restart.
//!
//! Every scenario has series that promtool feeds to the rules, and checks at points in time.

mod counting;
mod examples;
mod runbooks;
mod scenarios;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::promql::Selector;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::{Directory, Part};

/// The rule file of a profile `trakt` in the namespace `media`; `slos` is YAML of the fields `slos` and `alerting`.
fn rule_file(rest: &str) -> String {
    let text = format!(
        "apiVersion: telemetry-operator.dev/v1alpha1\n\
         kind: TelemetryProfile\n\
         metadata: {{name: trakt, namespace: media}}\n\
         spec:\n\
         \x20 selector: {{matchLabels: {{app: trakt}}}}\n\
         \x20 service: {{name: trakt}}\n\
         \x20 {}\n",
        rest.replace('\n', "\n  ")
    );
    let profile: TelemetryProfile =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let profile = validate(&profile, &Observed::default(), &Settings::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let plan = plan::plan(&profile).expect("a plan");
    let child =
        plan.children.iter().find(|child| child.reference() == "ConfigMap/trakt-slo").expect("the rules");
    child.body["data"]["media.trakt.slo.rules.yaml"].as_str().expect("a rule file").to_owned()
}

/// One SLO with the name `calls`.
fn slo(objective: &str, indicator: &str) -> String {
    slo_scraped("30s", objective, indicator)
}

/// The same, where the application is scraped in this interval.
fn slo_scraped(interval: &str, objective: &str, indicator: &str) -> String {
    rule_file(&format!(
        "metrics: {{interval: {interval}}}\nslos: [{{name: calls, objective: '{objective}', {indicator}}}]"
    ))
}

/// Runs promtool in a directory with these files; its output, and whether it was content.
fn promtool(arguments: &[&str], files: &[(&str, &str)]) -> (bool, String) {
    let directory = Directory::create("rules").expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    let mut command = Command::new(testbed::path(Part::Promtool).expect("promtool"));
    let output = command.args(arguments).current_dir(directory.path()).output().expect("promtool runs");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// Fails unless promtool takes the rule file, lints included.
fn check(text: &str) {
    let (success, output) =
        promtool(&["check", "rules", "--lint-fatal", "rules.yaml"], &[("rules.yaml", text)]);
    assert!(success, "{output}\n{text}");
}

/// A PromQL expression and the samples that it must give at a time.
struct Expectation(Value);

/// At the time, the expression gives exactly these samples: labels and value.
fn expect(at: &str, expression: &str, samples: &[(&str, f64)]) -> Expectation {
    let samples: Vec<_> =
        samples.iter().map(|(labels, value)| json!({"labels": labels, "value": value})).collect();
    Expectation(json!({"eval_time": at, "expr": expression, "exp_samples": samples}))
}

/// At the time, the alerts of exactly these tiers fire.
fn firing(at: &str, tiers: &[&str]) -> Expectation {
    let labels: Vec<_> = tiers.iter().map(|tier| format!("{{slo_tier=\"{tier}\"}}")).collect();
    let samples: Vec<_> = labels.iter().map(|labels| (labels.as_str(), 1.0)).collect();
    expect(at, "count by (slo_tier) (ALERTS{alertstate=\"firing\"})", &samples)
}

/// At the time, the record's value is within a thousandth of this one.
fn about(at: &str, record: &str, value: f64) -> Expectation {
    expect(at, &format!("sum(abs({record} - {value}) < bool 0.001)"), &[("{}", 1.0)])
}

/// Until the time, there were records, and none of them was ever NaN or infinite.
fn always_numbers(at: &str) -> Expectation {
    let records = "{__name__=~\"slo:.+\"}";
    let odd = format!("count({records}) - count({records} > -Inf < Inf)");
    expect(at, &format!("max_over_time(({odd})[{at}:5m])"), &[("{}", 0.0)])
}

/// Feeds series to a rule file and checks what comes of it. `step` is the distance of samples and evaluations.
fn run(rules: &str, step: &str, series: &[(&str, &str)], expectations: Vec<Expectation>) {
    run_every(step, rules, step, series, expectations);
}

/// The same, where rules are evaluated less often than there are samples.
fn run_every(
    evaluation: &str,
    rules: &str,
    step: &str,
    series: &[(&str, &str)],
    expectations: Vec<Expectation>,
) {
    let series: Vec<_> =
        series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let expectations: Vec<_> = expectations.into_iter().map(|expectation| expectation.0).collect();
    let test = json!({"interval": step, "input_series": series, "promql_expr_test": expectations});
    run_test(&json!(evaluation), rules, test);
}

/// Runs one test of promtool's own format on a rule file that is evaluated so often.
fn run_test(evaluation: &Value, rules: &str, test: Value) {
    check(rules);
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": evaluation, "tests": [test]});
    let (success, output) =
        promtool(&["test", "rules", "test.yaml"], &[("rules.yaml", rules), ("test.yaml", &file.to_string())]);
    assert!(success, "{output}\n{rules}");
}

const INDICATORS: [&str; 6] = [
    "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}",
    "ratio: {good: 'calls_total{code!~\"5..|\\\\d{2}\",path=`/a\\b`}', total: 'job:calls:total'}",
    "latency: {histogram: 'duration_seconds{route=\"/\"}', threshold: '0.5'}",
    "latency: {histogram: sum, threshold: '0.00005'}",
    "latency: {histogram: by, threshold: '1.0'}",
    "freshness: {counter: 'runs_total{result=\"ok\"}', maxAge: 26h}",
];

#[test]
fn every_rule_file_is_valid() {
    for (index, indicator) in INDICATORS.iter().enumerate() {
        check(&slo("99.9", indicator));
        let (objective, window) = [
            ("99.9999", "7d"),
            ("0.5", "90d"),
            ("90", "28d"),
            ("99", "12w"),
            ("95", "31d"),
            ("66.6667", "1w"),
        ][index];
        let slos: Vec<_> = INDICATORS
            .iter()
            .enumerate()
            .map(|(number, indicator)| {
                let low = objective == "0.5" || objective == "66.6667";
                let alerting =
                    if low { "alerting: {page: false, ticket: false}" } else { "alerting: {page: true}" };
                format!(
                    "{{name: s{number}, objective: '{objective}', window: {window}, {indicator}, {alerting}}}"
                )
            })
            .collect();
        check(&rule_file(&format!("slos: [{}]", slos.join(", "))));
    }
}

/// What a user may write into labels comes out of Prometheus as it went in, and the texts have their numbers.
#[test]
fn labels_and_texts_survive_prometheus() {
    let values = [
        "{{",
        "{{ $value }}",
        "{{{",
        "}}",
        "a {{`x`}} b",
        "{",
        "\\\"'`$1",
        "x{{-",
        "-}}{{",
        "{{/* */}}",
        "é😀",
        "yes",
        "1_0",
        " ",
    ];
    let labels: BTreeMap<_, _> =
        values.iter().enumerate().map(|(index, value)| (format!("l{index}"), *value)).collect();
    let rules = rule_file(&format!(
        "alerting: {{labels: {}, runbookBaseURL: 'https://runbooks.example/'}}\n\
         slos: [{{name: calls, objective: '99.9', {}}}]",
        json!(labels),
        INDICATORS[0]
    ));
    let mut expected = json!({"severity": "page", "slo_tier": "fast", "namespace": "media", "telemetry_profile": "trakt",
        "service": "trakt", "slo": "calls", "slo_objective": "99.9", "slo_window": "30d", "long_window": "1h",
        "short_window": "5m", "burn_rate_factor": "14.4"});
    for (label, value) in labels {
        expected[label] = json!(value);
    }
    let mut medium = expected.clone();
    let tier =
        [("slo_tier", "medium"), ("long_window", "6h"), ("short_window", "30m"), ("burn_rate_factor", "6")];
    for (label, value) in tier {
        medium[label] = json!(value);
    }
    let text = |tier: &str, long: &str, short: &str, factor: &str, percent: &str, share: &str| {
        json!({
            "summary": format!("trakt: SLO calls has a burn rate above {factor} over {long} and {short}"),
            "description": format!("SLO calls of trakt in namespace media: 99.9 % over 30 days, an error budget of 0.1 %. \
                Over the last {long} it was spent 100 times as fast as it lasts, and over the last {short} it still is. The \
                limit is {factor}, that is {percent} % of the events being bad; {long} at the limit spends {share} % of the budget."),
            "runbook_url": format!("https://runbooks.example/error-budget-burn-{tier}"),
        })
    };
    let alerts = json!([
        {"exp_labels": expected, "exp_annotations": text("fast", "1h", "5m", "14.4", "1.44", "2")},
        {"exp_labels": medium, "exp_annotations": text("medium", "6h", "30m", "6", "0.6", "5")},
    ]);
    run_test(
        &json!("30s"),
        &rules,
        json!({
            "interval": "30s",
            "input_series": [
                {"series": "calls_total{namespace=\"media\",code=\"200\"}", "values": "0+90x60"},
                {"series": "calls_total{namespace=\"media\",code=\"500\"}", "values": "0+10x60"},
            ],
            "alert_rule_test": [{"eval_time": "20m", "alertname": "ErrorBudgetBurn", "exp_alerts": alerts}],
        }),
    );
}

/// Whatever the parser lets through, Prometheus takes: one selector that it refuses would cost the whole rule file.
#[test]
fn accepted_selectors_are_accepted_by_prometheus() {
    let pieces = [
        "a",
        "5",
        ".",
        "*",
        "+",
        "?",
        "|",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?P<n>",
        "(?x)",
        "[",
        "]",
        "[^",
        "-",
        "&&",
        "{",
        "}",
        "{2}",
        "{2,}",
        "{,3}",
        "{40,50}",
        "{1001}",
        "{x}",
        "^",
        "$",
        "\\\\d",
        "\\\\.",
        "\\\\pL",
        "\\\\p{Greek}",
        "\\\\b",
        "\\\\x41",
        "\\\\x{42}",
        "\\\\u0041",
        "\\\\Q",
        "\\\\_",
        "\\\\<",
        "\\\"",
        "\\n",
        "é",
        "\\u00e9",
        "\\t",
        "'",
        "`",
        "#",
        "[[:alpha:]]",
        "[a-z]",
        "$1",
        "{{",
        "~~",
    ];
    let mut state = 11_u64;
    let mut draw = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("small") % bound
    };
    let mut rules = Vec::new();
    let mut refused = 0;
    while rules.len() < 2000 {
        let value: String = (0..1 + draw(6)).map(|_| pieces[draw(pieces.len())]).collect();
        let operator = ["=~", "!~", "=~", "="][draw(4)];
        let metric =
            ["calls_total", "job:calls:rate5m", "sum", "by", "on", "offset", "inf", "bool", "start"][draw(9)];
        match Selector::parse(&format!("{metric}{{l{operator}\"{value}\"}}")) {
            Ok(selector) => {
                let expression = selector.in_namespace("media").to_string();
                rules.push(json!({"record": format!("r{}", rules.len()), "expr": expression}));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1000, "the pieces are nasty enough: {refused}");
    check(&json!({"groups": [{"name": "selectors", "rules": rules}]}).to_string());
}

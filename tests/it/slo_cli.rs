//! `telemetry-operator slo`: the real binary, with the real promtool, and with a real Prometheus that is asked for the traffic.
//! Expected numbers come from the definition of burn rates, worked out here.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::{Directory, Part};

use crate::cli::{documents, run, succeed, texts};
use crate::prometheus::Prometheus;

/// A profile whose rules are evaluated seldom, so that promtool has less to do.
fn profile(slos: &str) -> String {
    format!(
        "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {{name: shop, namespace: media}}\n\
         spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service: {{name: shop}}\n  metrics: {{interval: 75s}}\n  slos:\n{slos}"
    )
}

/// What `slo test` finds, and whether it is content.
fn play(slos: &str, arguments: &[&str]) -> (bool, Vec<Value>) {
    let promtool = testbed::path(Part::Promtool).expect("promtool");
    let promtool = promtool.to_str().expect("a path");
    let all = ["slo", "test", "-f", "-", "-o", "json", "--promtool", promtool];
    let output = run(&[&all, arguments].concat(), Some(&profile(slos)));
    let (out, err) = texts(&output);
    assert_eq!(err, "", "{out}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{out}");
    let outcomes = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    (output.status.success(), outcomes)
}

/// Half an hour of nothing but bad events, on every kind of indicator: both pages fire when they are due and stop.
#[test]
fn every_indicator_can_be_played() {
    let pages = "alerting: {ticket: false}";
    let slos: String = [
        "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}",
        "groupBy: [route], ratio: {good: 'good_total{a=\"b\"}', total: 'calls_total{route=~\"/x/.+\"}'}",
        "latency: {histogram: duration_seconds, threshold: '1'}",
        "latency: {histogram: duration_seconds, threshold: '0.3', type: Native}",
        "operation: {name: 'GET /x'}",
        "operation: {name: 'GET /x', threshold: '0.25'}",
        "freshness: {counter: 'runs_total{result=\"ok\"}', maxAge: 1h}",
        "freshness: {timestamp: last_success_seconds, maxAge: 1h}",
    ]
    .iter()
    .enumerate()
    .fold(String::new(), |mut text, (index, indicator)| {
        writeln!(text, "  - {{name: s{index}, objective: '99', {pages}, {indicator}}}").expect("text");
        text
    });
    let (content, outcomes) = play(&slos, &["--for", "30m"]);
    assert!(content, "{outcomes:#?}");
    assert_eq!(outcomes.len(), 8);
    // Of the budget of 432 minutes 30 are spent.
    let left = 100.0 - 30.0 / 432.0 * 100.0;
    // Scrape, evaluation and lateness; a job's counter tells no success from two scrapes before its age limit on.
    let (late, early) = (75.0 + 75.0 + 15.0, 150.0);
    for outcome in outcomes {
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} in {outcome:#}"));
        assert!((number(&outcome["budgetAfterPercent"]) - left).abs() < 0.5, "{outcome:#}");
        assert!((number(&outcome["budgetBeforePercent"]) - 100.0).abs() < 0.1, "{outcome:#}");
        let counts_time = outcome.get("eventsPerSecond").is_none();
        // k · 1 % of the long window fills with bad events; the short window forgets all but k · 1 % of its own.
        for (tier, factor, long, short) in [(0, 14.4, 3600.0, 300.0), (1, 6.0, 21_600.0, 1800.0)] {
            let tier = &outcome["tiers"][tier];
            let (fires, stops) = (factor * 0.01 * long, 1800.0 + short * (1.0 - factor * 0.01));
            let early = if counts_time { early } else { 0.0 };
            let (fired, stopped) = (number(&tier["fired"]), number(&tier["stopped"]));
            assert!((fires - early..=fires + late).contains(&fired), "{fires} {tier:#}");
            assert!((stops - early..=stops + late).contains(&stopped), "{stops} {tier:#}");
            assert_eq!(tier["paused"], false, "{tier:#}");
        }
    }
}

/// 10 % of the events are enough for the slower page only, and a minute of outage for none.
#[test]
fn an_incident_may_be_too_mild_or_too_short() {
    let slo = "  - {name: calls, objective: '99', alerting: {ticket: false}, ratio: {bad: errors_total, total: calls_total}}\n";
    let fired = |arguments: &[&str]| -> Vec<bool> {
        let (content, outcomes) = play(slo, arguments);
        assert!(content, "{outcomes:#?}");
        outcomes[0]["tiers"].as_array().expect("tiers").iter().map(|tier| tier["fired"].is_number()).collect()
    };
    // 10 % are below 14.4 %, and above 6 % after 3.6 hours.
    assert_eq!(fired(&["--bad", "10", "--for", "4h"]), [false, true]);
    assert_eq!(fired(&["--for", "1m", "--events-per-second", "0.5"]), [false, false]);
}

/// What happens is told in the order of time.
#[test]
fn the_time_line_in_words() {
    let slo = "  - {name: calls, objective: '99.9', alerting: {ticket: false}, ratio: {bad: errors_total, total: calls_total}}\n";
    let promtool = testbed::path(Part::Promtool).expect("promtool");
    let promtool = promtool.to_str().expect("a path");
    let text =
        succeed(&["slo", "test", "-f", "-", "--for", "30m", "--promtool", promtool], Some(&profile(slo)));
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines[0],
        "SLO calls of media/shop, played by promtool: after 6h 3m 45s without a fault 100 % of 10 events/s are bad for 30m"
    );
    let order: Vec<_> = [
        "the incident begins",
        "fast fires",
        "medium fires",
        "the incident ends",
        "fast stops",
        "medium stops",
    ]
    .iter()
    .map(|what| lines.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}")))
    .collect();
    assert!(order.is_sorted(), "{text}");
    // 30 of 43.2 minutes.
    assert!(text.contains("budget of the period: 100.0 % before, 30.6 % after"), "{text}");
    assert_eq!(lines.last(), Some(&"every alert is as computed"));
}

#[test]
fn what_cannot_be_played_is_told() {
    let slo = "  - {name: calls, objective: '99.9', ratio: {bad: errors_total, total: calls_total}}\n";
    for (arguments, told) in [
        (&["--promtool", "/nonexistent/promtool"][..], "cannot run /nonexistent/promtool: No such file"),
        (&["--promtool", "/bin/echo"], "promtool could not play it: test rules test.yaml"),
        (&["--slo", "cals"], "<stdin> has no SLO \"cals\"; it has calls"),
        (&["--bad", "0"], "above 0 and up to 100"),
        (&["--for", "4d"], "up to 3d"),
    ] {
        let output = run(&[&["slo", "test", "-f", "-"], arguments].concat(), Some(&profile(slo)));
        let (out, err) = texts(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
}

#[test]
fn an_invalid_profile_has_the_findings_of_validate() {
    let broken =
        profile("  - {name: calls, objective: '100', ratio: {bad: errors_total, total: calls_total}}\n");
    let validate = texts(&run(&["validate", "-f", "-"], Some(&broken))).0;
    assert!(validate.starts_with("<stdin>:9: TP"), "{validate}");
    for command in ["explain", "test", "export"] {
        let output = run(&["slo", command, "-f", "-"], Some(&broken));
        let (out, err) = texts(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{err}");
        assert!(err.ends_with(&validate), "{command}: {err}");
    }
    let output = run(&["slo", "explain", "-f", "-"], Some(&profile("").replace("  slos:\n", "")));
    assert_eq!(output.status.code(), Some(2), "{:?}", texts(&output));
    assert!(texts(&output).1.contains("<stdin> has no SLO: add one under spec.slos"));
}

/// A profile's SLOs go out and come back, through the command line.
#[test]
fn open_slo_there_and_back() {
    let slo = "  - {name: calls, objective: '99.9', window: 28d, ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}}\n";
    let exported = succeed(&["slo", "export", "-f", "-"], Some(&profile(slo)));
    let document = &documents(&exported)[0];
    assert_eq!(document["spec"]["objectives"], json!([{"target": 0.999}]), "{exported}");
    let imported = succeed(&["slo", "import", "-f", "-"], Some(&exported));
    let expected = json!({"slos": [{"name": "calls", "objective": "99.9", "window": "28d",
        "ratio": {"bad": "calls_total{code=~\"5..\"}", "total": "calls_total"}}]});
    assert_eq!(documents(&imported), [expected]);
    let output = run(&["slo", "import", "-f", "-"], Some(&exported.replace("Occurrences", "Timeslices")));
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(
        err.contains(
            ": spec.budgetingMethod: \"Timeslices\" does not count events\n    fix: use Occurrences"
        ),
        "{err}"
    );
}

/// Two groups of 30 and 10 events a second for half an hour: on the average a group has 20.
#[test]
fn the_present_traffic_comes_from_prometheus() {
    let directory = Directory::create("slo-traffic").expect("a directory");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let record = |route: &str, per_second: u64| -> String {
        let labels =
            format!("namespace=\"media\",telemetry_profile=\"shop\",slo=\"calls\",route=\"{route}\"");
        let times = (0..24).map(|index| now - 60 - 75 * (24 - index));
        times.map(|time| format!("slo:events:increase{{{labels}}} {} {time}\n", per_second * 75)).collect()
    };
    let samples = format!("{}{}# EOF\n", record("/a", 30), record("/b", 10));
    fs::write(directory.path().join("samples"), samples).expect("a file");
    fs::write(directory.path().join("prometheus.yml"), "{}\n").expect("a file");
    let mut promtool = Command::new(testbed::path(Part::Promtool).expect("promtool"));
    promtool
        .args(["tsdb", "create-blocks-from", "openmetrics", "samples", "data"])
        .current_dir(directory.path());
    testbed::output(&mut promtool).expect("blocks");
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"].map(str::to_owned);
    let prometheus = Prometheus::start(&arguments, directory.path());

    let slos = |name: &str| {
        profile(&format!(
            "  - {{name: {name}, objective: '99.9', groupBy: [route], ratio: {{bad: errors_total, total: calls_total}}}}\n"
        ))
    };
    let arguments = ["slo", "explain", "-f", "-", "-o", "json", "--prometheus-url", &prometheus.url];
    let reports: Value = serde_json::from_str(&succeed(&arguments, Some(&slos("calls")))).expect("JSON");
    let rate = reports[0]["traffic"]["eventsPerSecond"].as_f64().expect("a rate");
    assert!((rate - 20.0).abs() < 1e-9, "{reports:#}");
    // A thousandth of 20/s for 30 days.
    assert!(
        (reports[0]["budget"]["badEvents"].as_f64().expect("events") - 51_840.0).abs() < 1e-3,
        "{reports:#}"
    );
    let output = run(&arguments, Some(&slos("others")));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        texts(&output).1.contains("it has no events of the last day in slo:events:increase"),
        "{output:?}"
    );
}

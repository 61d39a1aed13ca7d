mod alerts;

use serde_json::Value;

use super::*;
use crate::observed::Observed;
use crate::validate::{fixture, fixture_with};

const BASE: &str = "selector: {matchLabels: {app: trakt}}\nservice: {name: trakt}\n";

fn profile(rest: &str) -> ValidatedProfile {
    fixture(&format!("{BASE}{rest}"))
}

fn slo(indicator: &str) -> ValidatedProfile {
    profile(&format!("slos: [{{name: calls, objective: '99.9', {indicator}}}]"))
}

const CALLS: &str = "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}";

/// The rules of the only SLO, as Prometheus reads them.
fn rules_of(profile: &ValidatedProfile) -> Vec<Value> {
    let text = rule_file(profile).expect("rules").expect("some");
    let file: Value = serde_yaml::from_str(&text).expect("YAML");
    let groups = file["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn expression(profile: &ValidatedProfile, record: &str) -> String {
    let rules = rules_of(profile);
    let rule =
        rules.iter().find(|rule| rule["record"] == record).unwrap_or_else(|| panic!("no record {record}"));
    rule["expr"].as_str().expect("text").to_owned()
}

fn alerts(profile: &ValidatedProfile) -> Vec<Value> {
    rules_of(profile).into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

#[test]
fn delivery() {
    let slos = format!("slos: [{{name: calls, objective: '99.9', {CALLS}}}]");
    assert_eq!(plan(&profile("")).expect("a plan"), []);
    assert_eq!(plan(&profile(&format!("metrics: {{enabled: false}}\n{slos}"))).expect("a plan"), []);
    assert_eq!(rule_file(&profile("")).expect("rules"), None);

    let by_file = profile(&slos);
    let children = plan(&by_file).expect("a plan");
    let [child] = &children[..] else { panic!("one child: {children:?}") };
    assert_eq!(child.reference(), "ConfigMap/trakt-slo");
    assert_eq!(child.body["metadata"]["labels"][RULES_LABEL], "true");
    let text = rule_file(&by_file).expect("rules").expect("some");
    assert_eq!(child.body["data"]["media.trakt.slo.rules.yaml"], text.as_str());

    let served = Observed { served: [ChildKind::PrometheusRule].into(), ..Observed::default() };
    let by_operator = fixture_with(&format!("{BASE}{slos}"), &served);
    let children = plan(&by_operator).expect("a plan");
    let [child] = &children[..] else { panic!("one child: {children:?}") };
    assert_eq!(child.reference(), "PrometheusRule/trakt-slo");
    let file: Value = serde_yaml::from_str(&text).expect("YAML");
    assert_eq!(child.body["spec"], file, "one content, whichever way it is delivered");

    let managed = profile(&format!("metrics: {{prometheus: Managed}}\n{slos}"));
    assert_eq!(plan(&managed).expect("a plan"), []);
    assert_eq!(rule_file(&managed).expect("rules"), Some(text));
}

#[test]
fn two_groups_for_each_slo_records_first() {
    let profile = profile(&format!(
        "slos: [{{name: b, objective: '99.9', {CALLS}}}, {{name: a, objective: '99', window: 4w, {CALLS}}}]"
    ));
    let file = serde_json::to_value(rules::rule_file(&profile)).expect("JSON");
    let groups = file["groups"].as_array().expect("groups");
    let names: Vec<_> = groups.iter().map(|group| &group["name"]).collect();
    let expected = ["media/trakt/b", "media/trakt/b/period", "media/trakt/a", "media/trakt/a/period"];
    assert_eq!(names, expected, "in the profile's order");
    assert_eq!(group_names(&profile), expected.map(str::to_owned).into());
    for (group, slo, window) in [(0, "b", "30d"), (2, "a", "28d")] {
        let rules = |index: usize| groups[index]["rules"].as_array().expect("rules");
        let records = |index: usize| -> Vec<_> {
            rules(index).iter().filter_map(|rule| rule["record"].as_str()).collect()
        };
        let burn_rates = BURN_RATES.iter().rev().map(|window| window.record);
        let expected: Vec<_> = [EVENTS, BAD_EVENTS].into_iter().chain(burn_rates).collect();
        assert_eq!(records(group), expected);
        let alerts: Vec<_> = rules(group)[expected.len()..].iter().map(|rule| &rule["alert"]).collect();
        assert_eq!(alerts, [ALERT, ALERT, ALERT, ALERT, ABSENT_ALERT]);
        let expected = [PERIOD_EVENTS, PERIOD_BAD_EVENTS, ERROR_RATIO, BUDGET_REMAINING, OBJECTIVE, INFO];
        assert_eq!(records(group + 1), expected);
        for rule in rules(group).iter().chain(rules(group + 1)) {
            let labels = &rule["labels"];
            let identity = ["namespace", "telemetry_profile", "service", "slo"].map(|label| &labels[label]);
            assert_eq!(identity, ["media", "trakt", "trakt", slo]);
        }
        let info = &rules(group + 1)[expected.len() - 1]["labels"];
        assert_eq!(["window", "indicator"].map(|label| &info[label]), [window, "ratio"]);
    }
    let again = serde_json::to_value(rules::rule_file(&profile)).expect("JSON");
    assert_eq!(again.to_string(), file.to_string());
}

const IDENTITY: &str = "{namespace=\"media\",telemetry_profile=\"trakt\",slo=\"calls\"}";

/// How much each series of a selector has grown, as the rules compute it. `total` counts all events.
fn growth(series: &str, total: &str) -> String {
    let now = format!("last_over_time({series}[30s] offset 15s)");
    let then = format!("last_over_time({series}[3h] offset 45s)");
    format!(
        "{now} - ({then} <= {now} or 0 * {now}) and ({then} or {now} and on (job, instance) \
         (last_over_time({total}[30s] offset 15s) and last_over_time({total}[3h] offset 45s)))"
    )
}

#[test]
fn ratio_of_bad_events() {
    let profile = slo(CALLS);
    let (total, bad) = ("calls_total{namespace=\"media\"}", "calls_total{code=~\"5..\",namespace=\"media\"}");
    let all = format!("max(slo:events:increase{IDENTITY})");
    assert_eq!(expression(&profile, EVENTS), format!("sum({})", growth(total, total)));
    assert_eq!(
        expression(&profile, BAD_EVENTS),
        format!("(sum({}) or 0 * {all}) <= {all} or {all}", growth(bad, total))
    );
    let sum = |record: &str, window: &str| format!("sum(sum_over_time({record}{IDENTITY}[{window}]))");
    for Window { length, record, .. } in BURN_RATES {
        assert_eq!(
            expression(&profile, record),
            format!("{} / ({} > 0) / 0.001", sum(BAD_EVENTS, length), sum(EVENTS, length))
        );
    }
    assert_eq!(expression(&profile, PERIOD_EVENTS), sum(EVENTS, "30d"));
    assert_eq!(expression(&profile, PERIOD_BAD_EVENTS), sum(BAD_EVENTS, "30d"));
    assert_eq!(
        expression(&profile, ERROR_RATIO),
        format!("slo:bad_events:period{IDENTITY} / (slo:events:period{IDENTITY} > 0)")
    );
    assert_eq!(
        expression(&profile, BUDGET_REMAINING),
        format!("1 - slo:error_ratio:period{IDENTITY} / 0.001 or 1 + 0 * slo:events:period{IDENTITY}")
    );
    assert_eq!(expression(&profile, OBJECTIVE), "vector(0.999)");
}

#[test]
fn ratio_of_good_events() {
    let profile = slo("ratio: {good: 'calls_total{code!~\"5..\"}', total: calls_total}");
    let all = format!("max(slo:events:increase{IDENTITY})");
    let good = growth("calls_total{code!~\"5..\",namespace=\"media\"}", "calls_total{namespace=\"media\"}");
    assert_eq!(
        expression(&profile, BAD_EVENTS),
        format!("{all} - ((sum({good}) or 0 * {all}) <= {all} or {all})")
    );
}

/// A scrape counts once, however far apart they are.
#[test]
fn evaluations_follow_the_scrapes() {
    for (interval, evaluation) in
        [("5s", "30s"), ("30s", "30s"), ("60s", "60s"), ("1m", "60s"), ("75s", "75s")]
    {
        let profile = profile(&format!(
            "metrics: {{interval: {interval}}}\nslos: [{{name: calls, objective: '99.9', {CALLS}}}]"
        ));
        let file: Value =
            serde_yaml::from_str(&rule_file(&profile).expect("rules").expect("some")).expect("YAML");
        assert_eq!(file["groups"][0]["interval"], evaluation);
        assert!(expression(&profile, EVENTS).contains(&format!("[{evaluation}] offset 15s")), "{interval}");
    }
}

#[test]
fn groups_keep_their_labels() {
    let profile = slo(&format!("{CALLS}, groupBy: [endpoint, method]"));
    assert!(expression(&profile, EVENTS).starts_with("sum by (endpoint, method) (last_over_time("));
    assert!(
        expression(&profile, BAD_EVENTS)
            .contains(&format!(" or 0 * max by (endpoint, method) ({EVENTS}{IDENTITY})"))
    );
    assert!(expression(&profile, PERIOD_EVENTS).starts_with("sum by (endpoint, method) (sum_over_time("));
    let alerts = alerts(&profile);
    assert_eq!(alerts[0]["labels"]["slo_group"], "{{ $labels.endpoint }}/{{ $labels.method }}");
    let expression = alerts[3]["expr"].as_str().expect("text");
    assert!(
        expression.contains(" and on (endpoint, method) group by (endpoint, method) (present_over"),
        "{expression}"
    );
    let summary = alerts[0]["annotations"]["summary"].as_str().expect("text");
    assert!(
        summary.starts_with(
            "trakt: SLO calls (endpoint {{ $labels.endpoint }}, method {{ $labels.method }}) has"
        ),
        "{summary}"
    );
}

#[test]
fn little_traffic_widens_windows() {
    let profile = slo(&format!("{CALLS}, alerting: {{minimumEvents: 30}}"));
    let sum = |record: &str, window: &str| format!("sum(sum_over_time({record}{IDENTITY}[{window}]))");
    let judged = |window: &str, least: u32| {
        format!("{} / ({} >= {least}) / 0.001", sum(BAD_EVENTS, window), sum(EVENTS, window))
    };
    for (windows, least, wider) in
        [(["5m", "10m", "20m"], 3, "30m"), (["30m", "45m", "1h"], 3, ""), (["1d", "36h", "2d"], 30, "3d")]
    {
        let found = expression(&profile, &format!("slo:burn_rate:{}", windows[0]));
        let mut expected = windows.map(|window| judged(window, least)).join(" or ");
        if !wider.is_empty() {
            expected = format!("{expected} or max(slo:burn_rate:{wider}{IDENTITY})");
            assert_eq!(found, expected);
        }
        assert!(found.starts_with(&expected), "{found}");
    }
    let (bad, all) = (sum(BAD_EVENTS, "3d"), sum(EVENTS, "3d"));
    assert_eq!(
        expression(&profile, "slo:burn_rate:3d"),
        format!("{} or ({bad} >= 2) / ({all} > 0) / 0.001", judged("3d", 30))
    );
}

#[test]
fn latency_matches_every_spelling_of_its_bound() {
    for (threshold, matcher) in [
        ("0.5", "le=\"0.5\""),
        ("00.50", "le=\"0.5\""),
        ("1", "le=~\"1|1\\\\.0\""),
        ("1.0", "le=~\"1|1\\\\.0\""),
        ("100", "le=~\"100|100\\\\.0\""),
        ("2.5", "le=\"2.5\""),
        ("0.0001", "le=\"0.0001\""),
        ("0.00005", "le=~\"0\\\\.00005|5e-05\""),
        ("1.00005", "le=\"1.00005\""),
    ] {
        let profile = slo(&format!("latency: {{histogram: 'h{{r=\"/\"}}', threshold: '{threshold}'}}"));
        let count = "h_count{r=\"/\",namespace=\"media\"}";
        let bucket = format!("h_bucket{{r=\"/\",namespace=\"media\",{matcher}}}");
        assert_eq!(
            expression(&profile, EVENTS),
            format!("sum({}) and group(last_over_time({bucket}[30s] offset 15s))", growth(count, count)),
            "{threshold}"
        );
        let all = format!("max(slo:events:increase{IDENTITY})");
        let good = growth(&bucket, count);
        assert_eq!(
            expression(&profile, BAD_EVENTS),
            format!("{all} - ((sum({good}) or 0 * {all}) <= {all} or {all})")
        );
    }
}

#[test]
fn native_latency_asks_the_histogram() {
    let profile = slo("latency: {histogram: h, threshold: '0.3', type: Native}");
    assert!(
        expression(&profile, EVENTS)
            .starts_with("histogram_count(sum(last_over_time(h{namespace=\"media\"}[30s]")
    );
    let bad = expression(&profile, BAD_EVENTS);
    let all = format!("max(slo:events:increase{IDENTITY})");
    assert!(bad.starts_with(&format!("{all} - ((histogram_fraction(0, 0.3, sum(")), "{bad}");
}

#[test]
fn operations_are_spans_of_the_service() {
    let spans = |metric: &str, more: &str| {
        format!("{metric}{{namespace=\"media\",service_name=\"trakt\",span_name=\"GET \\\"x\\\"\"{more}}}")
    };
    let needed = |indicator: &str| -> Vec<String> {
        let profile = slo(indicator);
        needed_series(&profile, &profile.slos[0]).iter().map(ToString::to_string).collect()
    };
    let calls = spans("traces_span_metrics_calls_total", "");
    assert_eq!(needed("operation: {name: 'GET \"x\"'}"), std::slice::from_ref(&calls));
    let bad = expression(&slo("operation: {name: 'GET \"x\"'}"), BAD_EVENTS);
    let failed = spans("traces_span_metrics_calls_total", ",status_code=\"STATUS_CODE_ERROR\"");
    assert!(bad.starts_with(&format!("(sum({})", growth(&failed, &calls))), "{bad}");
    assert_eq!(
        needed("operation: {name: 'GET \"x\"', threshold: '0.7'}"),
        [
            spans("traces_span_metrics_duration_seconds_count", ""),
            spans("traces_span_metrics_duration_seconds_bucket", ",le=\"0.7\"")
        ]
    );
}

#[test]
fn freshness() {
    let profile = slo("freshness: {counter: 'runs_total{result=\"ok\"}', maxAge: 26h}");
    let counter = "runs_total{result=\"ok\",namespace=\"media\"}[26h]";
    let measured = format!("last_over_time(slo:events:increase{IDENTITY}[30d])");
    let recent = format!(
        "group(increase({counter}) > 0 or (last_over_time({counter}) > 0 unless last_over_time({counter} offset 26h)))"
    );
    let expected = format!("group(last_over_time({counter} offset 26h) or {measured})");
    assert_eq!(expression(&profile, EVENTS), format!("{recent} or {expected}"));
    assert_eq!(expression(&profile, BAD_EVENTS), format!("0 * {recent} or {expected}"));
    assert!(
        expression(&profile, "slo:burn_rate:5m").starts_with("sum(sum_over_time(slo:bad_events:increase")
    );

    let profile = slo("freshness: {timestamp: 'last_run', maxAge: 26h}");
    let last = "last_over_time(last_run{namespace=\"media\"}[26h])";
    assert_eq!(
        expression(&profile, EVENTS),
        format!("group({last} > time() - 93600) or group({last} or {measured})")
    );
}

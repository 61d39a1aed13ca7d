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

/// The rules of the only group, as Prometheus reads them.
fn rules_of(profile: &ValidatedProfile) -> Vec<Value> {
    let text = rule_file(profile).expect("rules").expect("some");
    let file: Value = serde_yaml::from_str(&text).expect("YAML");
    file["groups"][0]["rules"].as_array().expect("rules").clone()
}

fn expression(profile: &ValidatedProfile, record: &str) -> String {
    let rules = rules_of(profile);
    let rule =
        rules.iter().find(|rule| rule["record"] == record).unwrap_or_else(|| panic!("{record} in {rules:?}"));
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
fn one_group_for_each_slo_records_first() {
    let profile = profile(&format!(
        "slos: [{{name: b, objective: '99.9', {CALLS}}}, {{name: a, objective: '99', window: 4w, {CALLS}}}]"
    ));
    let file = serde_json::to_value(rules::rule_file(&profile)).expect("JSON");
    let names: Vec<_> =
        file["groups"].as_array().expect("groups").iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["media/trakt/b", "media/trakt/a"], "in the profile's order");
    for (group, slo, window) in [(0, "b", "30d"), (1, "a", "28d")] {
        let rules = file["groups"][group]["rules"].as_array().expect("rules");
        let names: Vec<_> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
        let expected: Vec<_> = [EVENTS, BAD_EVENTS]
            .into_iter()
            .chain(BURN_RATES.map(|(_, record)| record))
            .chain([ERROR_RATIO, BUDGET_REMAINING, OBJECTIVE, INFO])
            .collect();
        assert_eq!(names, expected);
        assert!(rules[names.len()..].iter().all(|rule| rule["alert"] == ALERT));
        for rule in rules {
            let labels = &rule["labels"];
            let identity = ["namespace", "telemetry_profile", "service", "slo"].map(|label| &labels[label]);
            assert_eq!(identity, ["media", "trakt", "trakt", slo]);
        }
        let info = &rules[names.len() - 1]["labels"];
        assert_eq!(["window", "indicator"].map(|label| &info[label]), [window, "ratio"]);
    }
    let again = serde_json::to_value(rules::rule_file(&profile)).expect("JSON");
    assert_eq!(again.to_string(), file.to_string());
}

#[test]
fn ratio_of_bad_events() {
    let profile = slo(CALLS);
    let total = "sum(rate(calls_total{namespace=\"media\"}[5m]))";
    let bad = "(sum(rate(calls_total{code=~\"5..\",namespace=\"media\"}[5m])) or vector(0))";
    assert_eq!(expression(&profile, EVENTS), total);
    assert_eq!(expression(&profile, BAD_EVENTS), format!("{bad} and {total}"));
    for (window, record) in BURN_RATES.into_iter().filter(|(window, _)| *window != "3d") {
        let direct = format!("{bad} / ({total} > 0) / 0.001").replace("[5m]", &format!("[{window}]"));
        assert_eq!(expression(&profile, record), direct);
    }
    let identity = "{namespace=\"media\",telemetry_profile=\"trakt\",slo=\"calls\"}";
    let sums = |window: &str| {
        format!(
            "sum(sum_over_time(slo:bad_events:rate5m{identity}[{window}])) / \
             (sum(sum_over_time(slo:events:rate5m{identity}[{window}])) > 0)"
        )
    };
    assert_eq!(expression(&profile, "slo:burn_rate:3d"), format!("{} / 0.001", sums("3d")));
    assert_eq!(expression(&profile, ERROR_RATIO), sums("30d"));
    assert_eq!(
        expression(&profile, BUDGET_REMAINING),
        format!(
            "1 - sum(slo:error_ratio:period{identity}) / 0.001 or \
             1 + 0 * sum(sum_over_time(slo:events:rate5m{identity}[30d]))"
        )
    );
    assert_eq!(expression(&profile, OBJECTIVE), "vector(0.999)");
}

#[test]
fn ratio_of_good_events() {
    let profile = slo("ratio: {good: 'calls_total{code!~\"5..\"}', total: calls_total}");
    assert_eq!(
        expression(&profile, "slo:burn_rate:1h"),
        "clamp_min(sum(rate(calls_total{namespace=\"media\"}[1h])) - \
         (sum(rate(calls_total{code!~\"5..\",namespace=\"media\"}[1h])) or vector(0)), 0) / \
         (sum(rate(calls_total{namespace=\"media\"}[1h])) > 0) / 0.001"
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
        let count = "sum(rate(h_count{r=\"/\",namespace=\"media\"}[5m]))";
        let bucket = format!("sum(rate(h_bucket{{r=\"/\",namespace=\"media\",{matcher}}}[5m]))");
        assert_eq!(expression(&profile, EVENTS), format!("{count} and {bucket}"), "{threshold}");
        assert_eq!(expression(&profile, BAD_EVENTS), format!("clamp_min({count} - {bucket}, 0) and {count}"));
    }
}

#[test]
fn alerts_say_what_fires_and_for_whom() {
    let alerts = alerts(&slo(CALLS));
    let labels: Vec<_> =
        alerts.iter().map(|alert| (&alert["labels"]["slo_tier"], &alert["labels"]["severity"])).collect();
    let texts: Vec<_> =
        labels.iter().map(|(tier, severity)| format!("{tier} {severity}").replace('"', "")).collect();
    assert_eq!(texts, ["fast page", "medium page", "slow ticket", "trickle ticket"]);
    let identity = "{namespace=\"media\",telemetry_profile=\"trakt\",slo=\"calls\"}";
    assert_eq!(
        alerts[0]["expr"],
        format!("slo:burn_rate:1h{identity} > 14.4 and slo:burn_rate:5m{identity} > 14.4")
    );
    assert_eq!(
        alerts[3]["expr"],
        format!(
            "slo:burn_rate:3d{identity} > 1 and slo:burn_rate:6h{identity} > 1 and on() \
             group(present_over_time(slo:events:rate5m{identity}[36h] offset 36h))"
        )
    );
    assert_eq!(
        alerts[0]["annotations"]["description"],
        "SLO calls of trakt in namespace media: 99.9 % over 30 days, an error budget of 0.1 %. Over the last 1h it was \
         spent {{ $value | humanize }} times as fast as it lasts, and over the last 5m it still is. The limit is 14.4, that \
         is 1.44 % of the events being bad; 1h at the limit spends 2 % of the budget."
    );
    assert_eq!(alerts[0]["annotations"].get("runbook_url"), None);
}

#[test]
fn wanted_alerts_only() {
    let tiers = |alerting: &str| -> Vec<String> {
        alerts(&slo(&format!("{CALLS}, alerting: {alerting}")))
            .iter()
            .map(|alert| alert["labels"]["slo_tier"].as_str().expect("a tier").to_owned())
            .collect()
    };
    assert_eq!(tiers("{page: false}"), ["slow", "trickle"]);
    assert_eq!(tiers("{ticket: false}"), ["fast", "medium"]);
    assert_eq!(tiers("{page: false, ticket: false}"), Vec::<String>::new());
    let low = profile(&format!("slos: [{{name: calls, objective: '90', {CALLS}}}]"));
    assert_eq!(alerts(&low).len(), 3, "14.4 times the budget of 10 % is more than everything");
}

#[test]
fn labels_of_the_slo_win_and_are_no_templates() {
    let profile = profile(&format!(
        "alerting: {{labels: {{team: all, area: 'a{{{{b}}}}'}}, runbookBaseURL: 'https://runbooks.example/slo/'}}\n\
         slos: [{{name: calls, objective: '99.9', {CALLS}, alerting: {{labels: {{team: '{{{{$x', brace: 'x{{'}}}}}}]"
    ));
    for alert in alerts(&profile) {
        let label = |name: &str| alert["labels"][name].as_str().expect("text").to_owned();
        assert_eq!(label("team"), "{{ \"{{\" }}$x");
        assert_eq!(label("area"), "a{{ \"{{\" }}b}}");
        assert_eq!(label("brace"), "x{{ \"{\" }}");
        assert_eq!(alert["annotations"]["runbook_url"], "https://runbooks.example/slo/errorbudgetburn");
    }
}

#[test]
fn freshness() {
    let profile = slo("freshness: {counter: 'runs_total{result=\"ok\"}', maxAge: 26h}");
    let counter = "runs_total{result=\"ok\",namespace=\"media\"}[26h]";
    let events = "slo:events:rate5m{namespace=\"media\",telemetry_profile=\"trakt\",slo=\"calls\"}";
    let grown = format!(
        "group(increase({counter}) > 0 or (last_over_time({counter}) > 0 unless last_over_time({counter} offset 26h)))"
    );
    let expected = format!("group(last_over_time({counter} offset 26h) or last_over_time({events}[30d]))");
    assert_eq!(expression(&profile, EVENTS), format!("{grown} or {expected}"));
    assert_eq!(expression(&profile, BAD_EVENTS), format!("0 * {grown} or {expected}"));
    assert!(expression(&profile, "slo:burn_rate:5m").starts_with("sum(sum_over_time(slo:bad_events:rate5m"));
}

//! Alerts: their conditions, labels and texts.

use super::*;

#[test]
fn alerts_say_what_fires_and_for_whom() {
    let alerts = alerts(&slo(CALLS));
    let labels = |alert: &Value| {
        [
            "slo_tier",
            "severity",
            "slo_objective",
            "slo_window",
            "long_window",
            "short_window",
            "burn_rate_factor",
        ]
        .map(|label| alert["labels"][label].as_str().unwrap_or_default().to_owned())
        .join(" ")
    };
    let texts: Vec<_> = alerts.iter().map(labels).collect();
    assert_eq!(
        texts,
        [
            "fast page 99.9 30d 1h 5m 14.4",
            "medium page 99.9 30d 6h 30m 6",
            "slow ticket 99.9 30d 1d 2h 3",
            "trickle ticket 99.9 30d 3d 6h 1",
            " ticket 99.9 30d   ",
        ]
    );
    assert_eq!(
        alerts[0]["expr"],
        format!("slo:burn_rate:1h{IDENTITY} > 14.4 and slo:burn_rate:5m{IDENTITY} > 14.4")
    );
    assert_eq!(
        alerts[3]["expr"],
        format!(
            "slo:burn_rate:3d{IDENTITY} > 1 and slo:burn_rate:6h{IDENTITY} > 1 and on () \
             group(present_over_time(slo:events:increase{IDENTITY}[36h] offset 36h))"
        )
    );
    assert_eq!(
        alerts[0]["annotations"]["description"],
        "SLO calls of trakt in namespace media: 99.9 % over 30 days, an error budget of 0.1 %. Over the last 1h it was \
         spent {{ $value | humanize }} times as fast as it lasts, and over the last 5m it still is. The limit is 14.4, that \
         is 1.44 % of the events being bad; 1h at the limit spends 2 % of the budget."
    );
    let runbooks: Vec<_> = alerts.iter().map(|alert| alert["annotations"]["runbook_url"].clone()).collect();
    let expected = [
        "error-budget-burn-fast",
        "error-budget-burn-medium",
        "error-budget-burn-slow",
        "error-budget-burn-trickle",
        "slo-metric-absent",
    ]
    .map(|name| {
        format!("https://github.com/telemetry-operator/telemetry-operator/blob/main/docs/runbooks/{name}.md")
    });
    assert_eq!(runbooks, expected);
    assert_eq!(alerts[0]["annotations"].get("dashboard_url"), None);
}

#[test]
fn absence_is_told_while_pods_run() {
    let alerts = alerts(&slo(&format!("{CALLS}, alerting: {{absentAfter: 13h}}")));
    let absent = alerts.last().expect("an alert");
    assert_eq!(absent["alert"], ABSENT_ALERT);
    assert_eq!(absent["for"], "13h");
    assert_eq!(
        absent["expr"],
        "group(up{namespace=\"media\",job=\"media/trakt-metrics\"}) unless on () \
         (group(last_over_time(calls_total{namespace=\"media\"}[5m])))"
    );
    assert_eq!(
        absent["annotations"]["description"],
        "Pods of trakt run in namespace media, and Prometheus has not had the series that SLO calls is computed from for 13h: \
         the alert's expression has their selectors. Until they are back, no burn rate and no alert of this SLO says anything."
    );
}

#[test]
fn alerts_link_to_the_dashboard_where_grafana_is_known() {
    let mut known = slo(CALLS);
    known.grafana_url = Some("https://grafana.example/team".to_owned());
    let url = alerts(&known)[0]["annotations"]["dashboard_url"].clone();
    assert!(url.as_str().is_some_and(|url| url.starts_with("https://grafana.example/team/d/")), "{url}");
    known.dashboards = None;
    assert_eq!(alerts(&known)[0]["annotations"].get("dashboard_url"), None);
}

#[test]
fn wanted_alerts_only() {
    let tiers = |alerting: &str| -> Vec<String> {
        alerts(&slo(&format!("{CALLS}, alerting: {alerting}")))
            .iter()
            .map(|alert| alert["labels"]["slo_tier"].as_str().unwrap_or("absent").to_owned())
            .collect()
    };
    assert_eq!(tiers("{page: false}"), ["slow", "trickle", "absent"]);
    assert_eq!(tiers("{ticket: false}"), ["fast", "medium"]);
    assert_eq!(tiers("{page: false, ticket: false}"), Vec::<String>::new());
    let low = profile(&format!("slos: [{{name: calls, objective: '90', {CALLS}}}]"));
    assert_eq!(alerts(&low).len(), 4, "14.4 times the budget of 10 % is more than everything");
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
        let runbook = alert["annotations"]["runbook_url"].as_str().expect("text");
        assert!(
            runbook.starts_with("https://runbooks.example/slo/") && !runbook.ends_with(".md"),
            "{runbook}"
        );
    }
}

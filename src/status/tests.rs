use super::*;
use crate::plan;
use crate::validate::fixture;

#[test]
fn status_says_why_there_is_no_logs_dashboard() {
    for (logs, why) in [
        ("", Some("because spec.logs.endpoint names no log store")),
        (
            "logs: {enabled: false, endpoint: 'http://loki:3100/otlp'}",
            Some("because spec.logs.enabled is false"),
        ),
        ("logs: {endpoint: 'http://loki:3100/otlp'}", None),
    ] {
        let profile =
            fixture(&format!("selector: {{matchLabels: {{app: x}}}}\nservice: {{name: x}}\n{logs}"));
        let plan = plan::plan(&profile).expect("a plan");
        let message = dashboards(&profile, &plan, &Applied::default()).message;
        assert_eq!(message.contains("ConfigMap/trakt-dashboard-logs"), why.is_none(), "{message}");
        assert_eq!(message.split_once("there is no Logs dashboard, ").map(|(_, why)| why), why, "{message}");
    }
}

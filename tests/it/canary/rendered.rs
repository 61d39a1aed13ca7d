//! A body as `run` would make it real, in every way of delivery. In: a profile as JSON. Out: its children for each. No cluster.

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::{self, Child};
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{ValidatedProfile, validate};

/// How Prometheus and Grafana are told.
pub const DELIVERIES: [(&str, &str); 3] =
    [("Operator", "GrafanaOperator"), ("ConfigMap", "ConfigMap"), ("Managed", "ConfigMap")];

/// The children of a valid body in a namespace, by one of the [`DELIVERIES`].
pub fn children(body: &Value, namespace: &str, delivery: (&str, &str)) -> Vec<Child> {
    plan::plan(&validated(body, namespace, delivery)).expect("a plan").children
}

/// A valid body after `validate`.
pub fn validated(body: &Value, namespace: &str, delivery: (&str, &str)) -> ValidatedProfile {
    let mut profile: TelemetryProfile = serde_json::from_value(delivered(body, delivery)).expect("a profile");
    profile.metadata.namespace = Some(namespace.to_owned());
    let observed = Observed { served: ChildKind::ALL.into_iter().collect(), ..Observed::default() };
    validate(&profile, &observed, &Settings::default()).expect("a valid profile")
}

fn delivered(body: &Value, (prometheus, dashboards): (&str, &str)) -> Value {
    let mut body = body.clone();
    body["spec"]["metrics"]["prometheus"] = json!(prometheus);
    body["spec"]["dashboards"]["delivery"] = json!(dashboards);
    body
}

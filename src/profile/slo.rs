//! Service level objectives and what is added to alerts. Types only.

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::Rule;
use serde::{Deserialize, Serialize};

use super::{HTTP_URL, ShortText, yes};

/// One service level objective.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.ratio) ? 1 : 0) + (has(self.latency) ? 1 : 0) + (has(self.freshness) ? 1 : 0) == 1")
    .message("an SLO has exactly one indicator: give one of ratio, latency and freshness"))]
pub struct Slo {
    /// Name, unique in the profile: it becomes the label `slo` of the rules.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Share of good events in percent: a decimal above "0" and below "100", for example "99.5".
    #[schemars(length(min = 1, max = 7), regex(pattern = r"^[0-9]{1,2}(\.[0-9]{1,4})?$"))]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("an objective of 0 is met by anything: give a percentage above 0 and below 100, for example \"99.5\""))]
    pub objective: String,
    /// The period that the error budget is for, in days or weeks, for example `30d`.
    #[serde(default = "thirty_days")]
    #[schemars(length(min = 2, max = 4), regex(pattern = r"^([7-9]|[1-8][0-9]|90)d$|^([1-9]|1[0-2])w$"))]
    pub window: String,
    /// Good or bad events among all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<RatioIndicator>,
    /// Events faster than a threshold, from a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyIndicator>,
    /// Time in which a counter has grown lately, for jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<FreshnessIndicator>,
    /// Which alerts there are, and their labels.
    #[serde(default)]
    pub alerting: SloAlerting,
}

/// Good or bad events among all, each a PromQL series selector of a counter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.good) != has(self.bad)")
    .message("good and bad follow from each other by total: give exactly one of them"))]
pub struct RatioIndicator {
    /// Selector of the good events, for example `http_requests_total{code!~"5.."}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub good: Option<String>,
    /// Selector of the bad events, for example `http_requests_total{code=~"5.."}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub bad: Option<String>,
    /// Selector of all events, for example `http_requests_total`.
    #[schemars(length(min = 1, max = 512))]
    pub total: String,
}

/// Events faster than a threshold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LatencyIndicator {
    /// Selector of the histogram without `_bucket`, for example `http_request_duration_seconds{route="/"}`.
    #[schemars(length(min = 1, max = 512))]
    pub histogram: String,
    /// Threshold in the histogram's unit: a decimal that is one of its bucket bounds, for example "0.5".
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,5})?$"))]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("a threshold of 0 makes every event bad: give a bucket bound above 0, for example \"0.5\""))]
    pub threshold: String,
}

/// Time in which a counter has grown lately.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FreshnessIndicator {
    /// Selector of the counter that grows at each success, for example `export_runs_total{result="success"}`.
    #[schemars(length(min = 1, max = 512))]
    pub counter: String,
    /// The longest time in which it must have grown, for example `26h`.
    #[schemars(length(min = 2, max = 6), regex(pattern = r"^[1-9][0-9]{0,3}[smhd]$"))]
    pub max_age: String,
}

/// Which alerts an SLO has, and their labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SloAlerting {
    /// True: fast burn pages somebody (severity page).
    #[serde(default = "yes")]
    pub page: bool,
    /// True: slow burn opens a ticket (severity ticket).
    #[serde(default = "yes")]
    pub ticket: bool,
    /// Labels added to the alerts of this SLO, before `alerting.labels`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = alert_label_names())]
    pub labels: BTreeMap<String, ShortText>,
}

impl Default for SloAlerting {
    fn default() -> Self {
        Self { page: true, ticket: true, labels: BTreeMap::new() }
    }
}

/// What is added to every alert of the profile.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Alerting {
    /// Labels, for example `team: exports`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = alert_label_names())]
    pub labels: BTreeMap<String, ShortText>,
    /// Start of the alerts' `runbook_url`; the alert's name in lower case is added to it.
    #[serde(default, rename = "runbookBaseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 8, max = 253),
        regex(
            pattern = HTTP_URL
        )
    )]
    pub runbook_base_url: Option<String>,
}

/// Labels of alerts: what Prometheus takes, and what the operator does not set itself.
fn alert_label_names() -> Rule {
    Rule::new(
        "self.all(k, k.size() <= 63 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && !k.startsWith('__') && !(k in ['alertname', 'namespace', 'severity', 'slo', 'slo_tier', 'telemetry_profile', 'service']))",
    )
    .message("a key is not a Prometheus label name, or the operator sets this label itself: use [a-zA-Z_][a-zA-Z0-9_]*, but not alertname, namespace, severity, slo, slo_tier, telemetry_profile or service")
}

fn thirty_days() -> String {
    "30d".to_owned()
}

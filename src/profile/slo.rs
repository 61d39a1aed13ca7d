//! Service level objectives and what is added to alerts. Types only.

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::{Message, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HTTP_URL, ShortText, yes};

/// Labels of records and alerts that the operator sets.
pub const OWN_LABELS: [&str; 13] = [
    "alertname",
    "namespace",
    "telemetry_profile",
    "service",
    "slo",
    "severity",
    "slo_tier",
    "slo_group",
    "slo_objective",
    "slo_window",
    "long_window",
    "short_window",
    "burn_rate_factor",
];

/// One service level objective.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.ratio) ? 1 : 0) + (has(self.latency) ? 1 : 0) + (has(self.operation) ? 1 : 0) + (has(self.freshness) ? 1 : 0) == 1")
    .message("an SLO has exactly one indicator: give one of ratio, latency, operation and freshness"))]
pub struct Slo {
    /// Name, unique in the profile: it becomes the label `slo` of the rules.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Share of good events in percent: a decimal above "0" and below "100", for example "99.5".
    #[schemars(length(min = 1, max = 7), regex(pattern = r"^[0-9]{1,2}(\.[0-9]{1,4})?$"))]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("an objective of 0 is met by anything: give a percentage above 0 and below 100, for example \"99.5\""))]
    pub objective: String,
    /// The period that the error budget is for, in days or weeks, from `1d` to `90d`, for example `30d`.
    #[serde(default = "thirty_days")]
    #[schemars(length(min = 2, max = 4), regex(pattern = r"^([1-9]|[1-8][0-9]|90)d$|^([1-9]|1[0-2])w$"))]
    pub window: String,
    /// Labels of the indicator's series by which the SLO is split: each of their values has an error budget and alerts of its
    /// own, for example `[endpoint]`. The number of recorded series grows with their values.
    #[serde(default)]
    #[schemars(
        length(max = 3),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))
    )]
    #[x_kube(validation = group_label_names(), validation = distinct())]
    pub group_by: Vec<String>,
    /// Good or bad events among all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<RatioIndicator>,
    /// Events faster than a threshold, from a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyIndicator>,
    /// Spans of an operation of the application that succeed, or that also end in time, from the collector's span metrics: the
    /// application needs no metric of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationIndicator>,
    /// Time in which the last success is recent, for jobs.
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
    #[x_kube(validation = positive_threshold())]
    pub threshold: String,
    /// How the application exposes the histogram.
    #[serde(default, rename = "type")]
    pub kind: HistogramType,
}

/// How a histogram is exposed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistogramType {
    /// As counters with the label `le`: the threshold is one of their bounds.
    #[default]
    Classic,
    /// As a native histogram: any threshold, interpolated within a bucket.
    Native,
}

/// Spans of an operation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OperationIndicator {
    /// Name of the spans, for example `GET /films`. A span with the status Error is a bad event.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Seconds within which a span must end: a decimal, for example "0.5". It becomes a bucket bound of the span metrics. Left
    /// out: every span without an error is good. Given: every span in time is good, whatever its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,5})?$"))]
    #[x_kube(validation = positive_threshold())]
    pub threshold: Option<String>,
}

/// Time in which the last success is recent: a counter that grows, or the time of the last success.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.counter) != has(self.timestamp)")
    .message("either a counter grows at each success or a gauge holds its time: give exactly one of counter and timestamp"))]
pub struct FreshnessIndicator {
    /// Selector of the counter that grows at each success, for example `export_runs_total{result="success"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub counter: Option<String>,
    /// Selector of the gauge that holds the Unix time of the last success in seconds, for example
    /// `kube_cronjob_status_last_successful_time{cronjob="export"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub timestamp: Option<String>,
    /// The greatest age of the last success, for example `26h`.
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
    /// For little traffic: the fewest events from which an error ratio is judged. A window that holds fewer is widened to the next
    /// longer one, up to three days; there two bad events are enough. Left out: every event counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub minimum_events: Option<i32>,
    /// How long the indicator's metric may be absent while pods of the application run, before a ticket says so. Longer than a
    /// job's pause where its counters come into being with its first run.
    #[serde(default = "one_hour")]
    #[schemars(length(min = 2, max = 5), regex(pattern = r"^[1-9][0-9]{0,3}[mhd]$"))]
    pub absent_after: String,
}

impl Default for SloAlerting {
    fn default() -> Self {
        Self {
            page: true,
            ticket: true,
            labels: BTreeMap::new(),
            minimum_events: None,
            absent_after: one_hour(),
        }
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
    /// Start of the alerts' `runbook_url`; a runbook's name is added to it, for example `error-budget-burn-fast`. Left out: the
    /// operator's own runbooks.
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
    let own = OWN_LABELS.map(|label| format!("'{label}'")).join(", ");
    Rule::new(format!(
        "self.all(k, k.size() <= 63 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && !k.startsWith('__') && !(k in [{own}]))"
    ))
    .message(Message::Message(format!(
        "a key is not a Prometheus label name, or the operator sets this label itself: use [a-zA-Z_][a-zA-Z0-9_]*, but not {}",
        OWN_LABELS.join(", ")
    )))
}

/// Labels by which an SLO is split: not those that the operator sets, and not the bound of a bucket.
fn group_label_names() -> Rule {
    let own = OWN_LABELS.map(|label| format!("'{label}'")).join(", ");
    Rule::new(format!("self.all(k, !k.startsWith('__') && !(k in ['le', {own}]))")).message(Message::Message(
        format!(
            "an SLO cannot be split by le or a label that the operator sets itself: {}",
            OWN_LABELS.join(", ")
        ),
    ))
}

fn distinct() -> Rule {
    Rule::new("self.all(k, self.exists_one(other, other == k))")
        .message("a label stands here twice: remove one")
}

fn positive_threshold() -> Rule {
    Rule::new("double(self) > 0.0")
        .message("a threshold of 0 makes every event bad: give a bucket bound above 0, for example \"0.5\"")
}

fn thirty_days() -> String {
    "30d".to_owned()
}

fn one_hour() -> String {
    "1h".to_owned()
}

//! The profile's signals: traces, metrics, logs and the dashboards over them. Types only.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HTTP_URL, LabelValue, yes};

/// Traces: sampling, protocols and the back end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.endpoint) && has(self.jaeger))")
    .message("traces.endpoint sends to an existing back end: remove traces.jaeger, or remove traces.endpoint to let the operator run Jaeger")
    .field_path(".jaeger"))]
pub struct Traces {
    /// False: no traces are received, and no trace back end is made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What share of the traces is kept, and where it is decided.
    #[serde(default)]
    pub sampling: Sampling,
    /// What the application speaks. OTLP is served by gRPC on 4317 and HTTP on 4318; JaegerThriftHTTP on 14268 at
    /// `/api/traces`, for applications with an old Jaeger client.
    #[serde(default = "otlp")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub protocols: Vec<TraceProtocol>,
    /// The Jaeger that the operator runs. Left out together with `endpoint`: Jaeger with storage Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<JaegerStorage>,
    /// An existing OTLP gRPC back end, for example `http://tempo.monitoring:4317` or `https://otlp.example.com:4317`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 8, max = 253),
        regex(pattern = r"^https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?:[0-9]{1,5}$")
    )]
    pub endpoint: Option<String>,
}

impl Default for Traces {
    fn default() -> Self {
        Self { enabled: true, sampling: Sampling::default(), protocols: otlp(), jaeger: None, endpoint: None }
    }
}

/// Sampling, applied exactly once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// Share of traces that are kept: a decimal from "0" to "1".
    #[serde(default = "one")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub ratio: String,
    /// Collector: the collector samples, after it has made span metrics, so that metrics stay exact.
    /// Application: the SDK samples with this ratio, and the collector keeps whatever arrives.
    #[serde(default)]
    pub at: SamplingPoint,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { ratio: one(), at: SamplingPoint::Collector }
    }
}

/// Where sampling is decided.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplingPoint {
    /// In the collector, after span metrics.
    #[default]
    Collector,
    /// In the application's SDK.
    Application,
}

/// Protocols that the collector receives traces by.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceProtocol {
    /// OTLP by gRPC and HTTP.
    #[serde(rename = "OTLP")]
    Otlp,
    /// Jaeger's Thrift over HTTP.
    #[serde(rename = "JaegerThriftHTTP")]
    JaegerThriftHttp,
}

/// The storage of the Jaeger that the operator runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.storage == 'Badger' || !has(self.retention)")
    .message("Memory keeps as many traces as fit: remove retention, or set storage to Badger").field_path(".retention"))]
#[x_kube(validation = Rule::new("self.storage == 'Badger' || !has(self.size)")
    .message("Memory has no volume: remove size, or set storage to Badger").field_path(".size"))]
#[x_kube(validation = Rule::new("self.storage == 'Badger' || !has(self.storageClassName)")
    .message("Memory has no volume: remove storageClassName, or set storage to Badger").field_path(".storageClassName"))]
#[x_kube(validation = Rule::new("self.storage != 'Badger' || oldSelf.storage != 'Badger' || quantity(has(self.size) ? self.size : '10Gi').compareTo(quantity(has(oldSelf.size) ? oldSelf.size : '10Gi')) >= 0")
    .message("a volume can grow but not shrink: give at least the present size, which is 10Gi where none is given").field_path(".size"))]
#[x_kube(validation = Rule::new("self.storage != 'Badger' || oldSelf.storage != 'Badger' || (has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName))")
    .message("a volume's class cannot change: keep storageClassName, or go through storage Memory, which deletes the stored traces")
    .field_path(".storageClassName"))]
pub struct JaegerStorage {
    /// Memory: the newest traces, bounded by the memory limit, lost on a restart. Badger: on a volume.
    #[serde(default)]
    pub storage: StorageKind,
    /// Badger: how long spans are kept, for example `72h`. Left out: 72h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 6), regex(pattern = r"^[1-9][0-9]{0,3}[hd]$"))]
    pub retention: Option<String>,
    /// Badger: size of the volume, for example `10Gi`. Left out: 10Gi. It can grow later, not shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^[1-9][0-9]{0,8}(Mi|Gi|Ti|M|G|T)$"))]
    pub size: Option<String>,
    /// Badger: the volume's StorageClass. Left out: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,
}

/// Kinds of trace storage.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageKind {
    /// In memory, lost on a restart.
    #[default]
    Memory,
    /// On a volume.
    Badger,
}

/// Metrics: the application's own endpoint and how Prometheus is told of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// False: nothing is scraped, and there are no rules.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Port of the application's own metrics endpoint. The container need not declare it.
    #[serde(default = "metrics_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Path of the application's own metrics endpoint.
    #[serde(default = "metrics_path")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^/[-A-Za-z0-9_./~]*$"))]
    pub path: String,
    /// How often it is scraped, for example `30s`.
    #[serde(default = "metrics_interval")]
    #[schemars(length(min = 2, max = 5), regex(pattern = r"^([5-9]|[1-9][0-9]{1,2})s$|^([1-9]|10)m$"))]
    pub interval: String,
    /// What the application exposes: panels and the report of missing metrics come from it.
    #[serde(default)]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub instruments: Vec<Instrument>,
    /// Operator: ServiceMonitor, PodMonitor and PrometheusRule objects. ConfigMap: scrape and rule files for a Prometheus
    /// that you run. Managed: the operator runs a small Prometheus for this profile. Auto: Operator where its kinds are
    /// served, otherwise ConfigMap.
    #[serde(default)]
    pub prometheus: PrometheusMode,
    /// Labels on the ServiceMonitor, PodMonitor and PrometheusRule, for a Prometheus that selects by label; that of the
    /// chart kube-prometheus-stack wants `release: NAME`, with the name of its Helm release.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, LabelValue>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            port: metrics_port(),
            path: metrics_path(),
            interval: metrics_interval(),
            instruments: Vec::new(),
            prometheus: PrometheusMode::Auto,
            labels: BTreeMap::new(),
        }
    }
}

/// One instrument that the application exposes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Instrument {
    /// Name of the metric in Prometheus as the application exposes it; a Histogram without `_bucket`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub name: String,
    /// Its type: it decides the panel and the query.
    #[serde(rename = "type")]
    pub kind: InstrumentType,
    /// Its unit by UCUM, for example `s`, `By` or `{request}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[-A-Za-z0-9_./%{}]+$"))]
    pub unit: Option<String>,
    /// What it counts, for the panel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub description: Option<String>,
}

/// Types of instruments.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstrumentType {
    /// Only grows; shown as a rate.
    Counter,
    /// Buckets; shown as quantiles and a rate.
    Histogram,
    /// A present value.
    Gauge,
    /// Grows and shrinks; shown as a present value, summed.
    UpDownCounter,
}

/// How Prometheus is told of targets and rules.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrometheusMode {
    /// Operator where its kinds are served, otherwise ConfigMap.
    #[default]
    Auto,
    /// Objects of the Prometheus Operator.
    Operator,
    /// Files in ConfigMaps.
    ConfigMap,
    /// A Prometheus of this profile's own.
    Managed,
}

/// Logs over OTLP.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Logs {
    /// False: no logs are received.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How the application writes its log lines; the Logs dashboard parses them so.
    #[serde(default)]
    pub format: LogFormat,
    /// OTLP/HTTP endpoint of the log store, for example `http://loki.monitoring:3100/otlp` or
    /// `http://victoria-logs.monitoring:9428/insert/opentelemetry`. Left out: the collector accepts no logs, there is no
    /// Logs dashboard, and status says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 8, max = 253),
        regex(
            pattern = HTTP_URL
        )
    )]
    pub endpoint: Option<String>,
    /// What the log store is. The Logs dashboard and the provisioned data source ask it in its own language.
    #[serde(default)]
    pub store: LogStore,
}

impl Default for Logs {
    fn default() -> Self {
        Self { enabled: true, format: LogFormat::Json, endpoint: None, store: LogStore::Loki }
    }
}

/// Log stores that take OTLP.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStore {
    /// Loki from version 3, which takes OTLP at `http://HOST:3100/otlp`.
    #[default]
    Loki,
    /// VictoriaLogs, which takes OTLP at `http://HOST:9428/insert/opentelemetry`.
    VictoriaLogs,
}

/// Formats of log lines.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object in a line.
    #[default]
    #[serde(rename = "JSON")]
    Json,
    /// Free text.
    Text,
}

/// Grafana dashboards.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dashboards {
    /// False: no dashboards.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Grafana folder. Left out: the service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_ ]*[A-Za-z0-9])?$"))]
    pub folder: Option<String>,
    /// Labels that Grafana's dashboard sidecar looks for.
    #[serde(default = "dashboard_labels")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, LabelValue>,
    /// ConfigMap: for Grafana's dashboard sidecar. GrafanaOperator: GrafanaDashboard objects where that kind is served,
    /// otherwise ConfigMaps.
    #[serde(default)]
    pub delivery: DashboardDelivery,
    /// Existing: the dashboards use data sources that somebody has set up in Grafana. Provisioned: the operator writes data
    /// sources for the profile's own back ends, wired from logs to traces to metrics.
    #[serde(default)]
    pub data_sources: DataSources,
    /// Labels that Grafana's data source sidecar looks for.
    #[serde(default = "data_source_labels")]
    #[schemars(extend("maxProperties" = 16))]
    pub data_source_labels: BTreeMap<String, LabelValue>,
}

impl Default for Dashboards {
    fn default() -> Self {
        Self {
            enabled: true,
            folder: None,
            labels: dashboard_labels(),
            delivery: DashboardDelivery::ConfigMap,
            data_sources: DataSources::Existing,
            data_source_labels: data_source_labels(),
        }
    }
}

/// Whose data sources the dashboards use.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataSources {
    /// Those that Grafana has.
    #[default]
    Existing,
    /// The profile's own: a ConfigMap, or GrafanaDatasource objects where delivery is GrafanaOperator and that kind is served.
    Provisioned,
}

/// How dashboards reach Grafana.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DashboardDelivery {
    /// ConfigMaps with a label.
    #[default]
    ConfigMap,
    /// GrafanaDashboard objects.
    GrafanaOperator,
}

fn otlp() -> Vec<TraceProtocol> {
    vec![TraceProtocol::Otlp]
}

fn one() -> String {
    "1".to_owned()
}

fn metrics_port() -> u16 {
    8081
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

fn metrics_interval() -> String {
    "30s".to_owned()
}

fn dashboard_labels() -> BTreeMap<String, LabelValue> {
    BTreeMap::from([("grafana_dashboard".to_owned(), LabelValue("1".to_owned()))])
}

fn data_source_labels() -> BTreeMap<String, LabelValue> {
    BTreeMap::from([("grafana_datasource".to_owned(), LabelValue("1".to_owned()))])
}

//! The validated profile: every choice made, every default in force, every string parsed. Types only; `validate` makes
//! it, `plan` and `status` read it, and nothing after `validate` reads the raw spec.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::burn_rate::Objective;
use crate::profile::{HistogramType, Instrument, LogFormat, LogStore};
use crate::promql::Selector;
use crate::settings::Settings;

/// A profile of which every choice is made.
#[derive(Clone, Debug)]
pub struct ValidatedProfile {
    /// Name of the profile: part of every child's name.
    pub name: String,
    /// Namespace of the profile and of every child.
    pub namespace: String,
    /// UID for owner references; none when rendered without a cluster.
    pub uid: Option<String>,
    /// The application's pods.
    pub selector: LabelSelector,
    /// Who the application is.
    pub service: ServiceIdentity,
    /// Traces, unless they are off.
    pub traces: Option<Traces>,
    /// Metrics, unless they are off.
    pub metrics: Option<Metrics>,
    /// Logs: only when they are on and there is a log store.
    pub logs: Option<Logs>,
    /// True when logs are on, with a log store or without one.
    pub logs_wanted: bool,
    /// Dashboards, unless they are off.
    pub dashboards: Option<Dashboards>,
    /// The SLOs in the profile's order.
    pub slos: Vec<Slo>,
    /// Labels of every alert.
    pub alert_labels: BTreeMap<String, String>,
    /// Start of `runbook_url`, without a slash at its end.
    pub runbook_base_url: Option<String>,
    /// The collector's workload.
    pub collector: Workload,
    /// How many collectors.
    pub collector_scale: Scale,
    /// Jaeger's workload.
    pub jaeger: Workload,
    /// The managed Prometheus' workload.
    pub prometheus: Workload,
    /// True when the application's pods are to carry a sidecar.
    pub sidecar: bool,
    /// The sidecar's image.
    pub sidecar_image: String,
    /// The sidecar's memory limit in bytes.
    pub sidecar_memory_limit: u64,
    /// URL of the Prometheus that has the profile's metrics, where one is known.
    pub prometheus_url: Option<String>,
    /// Where the managed Prometheus sends alerts, each without a slash at its end.
    pub alertmanager_urls: Vec<String>,
    /// Where Grafana is, without a slash at its end.
    pub grafana_url: Option<String>,
    /// The role by which a managed Prometheus may find pods.
    pub prometheus_role: RoleName,
}

/// A role that somebody else has made, by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName {
    /// ClusterRole, or Role where the operator has its rights in some namespaces only.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl RoleName {
    /// The role of managed Prometheuses in an operator with these settings.
    #[must_use]
    pub fn of_prometheus(settings: &Settings) -> Self {
        let kind = if settings.watch_namespace.is_empty() { "ClusterRole" } else { "Role" };
        Self { kind, name: settings.installation.prometheus_role() }
    }
}

impl ValidatedProfile {
    /// True when at least one signal passes through the collector.
    #[must_use]
    pub fn has_collector(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some() || self.logs.is_some()
    }

    /// The Jaeger that the operator runs, if it does.
    #[must_use]
    pub fn jaeger_storage(&self) -> Option<&JaegerStorage> {
        match self.traces.as_ref().map(|traces| &traces.back_end) {
            Some(TraceBackEnd::Jaeger(storage)) => Some(storage),
            _ => None,
        }
    }

    /// True when the operator runs a Prometheus for this profile.
    #[must_use]
    pub fn has_managed_prometheus(&self) -> bool {
        self.metrics.as_ref().is_some_and(|metrics| metrics.scrape_by == Delivery::Managed)
    }
}

/// Who the application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceIdentity {
    /// `service.name`.
    pub name: String,
    /// `service.version`.
    pub version: Option<String>,
    /// `deployment.environment.name`.
    pub environment: Option<String>,
}

/// Traces with every choice made.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Percentage of traces that the collector keeps, for its sampler, as a decimal; none when it keeps all.
    pub collector_sampling_percentage: Option<String>,
    /// The share of traces that reaches the back end, whoever samples, as the profile gives it.
    pub ratio: String,
    /// OTLP is received.
    pub otlp: bool,
    /// Jaeger Thrift over HTTP is received.
    pub jaeger_thrift_http: bool,
    /// Where traces go.
    pub back_end: TraceBackEnd,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceBackEnd {
    /// To a Jaeger that the operator runs.
    Jaeger(JaegerStorage),
    /// To an existing OTLP gRPC back end.
    Endpoint(Endpoint),
}

/// An address outside the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL as the profile gives it, without a slash at its end.
    pub url: String,
    /// `host:port`.
    pub authority: String,
    /// TCP port.
    pub port: u16,
    /// True for https.
    pub tls: bool,
}

/// Storage of the Jaeger that the operator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JaegerStorage {
    /// In memory.
    Memory,
    /// On a volume.
    Badger {
        /// How long spans are kept, as a Go duration in hours, for example `72h`.
        retention: String,
        /// Size of the volume as a quantity.
        size: String,
        /// StorageClass; none for the cluster's default.
        storage_class_name: Option<String>,
    },
}

/// How Prometheus or Grafana is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// By the objects of the Prometheus Operator or the Grafana Operator.
    Operator,
    /// By files in ConfigMaps.
    ConfigMap,
    /// By the operator's own Prometheus.
    Managed,
}

impl Delivery {
    /// The word for status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "Operator",
            Self::ConfigMap => "ConfigMap",
            Self::Managed => "Managed",
        }
    }
}

/// Metrics with every choice made.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Port of the application's own endpoint.
    pub port: u16,
    /// Path of the application's own endpoint.
    pub path: String,
    /// Scrape interval as a Prometheus duration.
    pub interval: String,
    /// The same in seconds.
    pub interval_seconds: u32,
    /// What the application exposes.
    pub instruments: Vec<Instrument>,
    /// How Prometheus is told of targets.
    pub scrape_by: Delivery,
    /// How Prometheus is told of rules.
    pub rules_by: Delivery,
    /// Labels of the objects by which the Prometheus Operator is told.
    pub labels: BTreeMap<String, String>,
}

/// Logs with a store.
#[derive(Clone, Debug)]
pub struct Logs {
    /// How the application writes its lines.
    pub format: LogFormat,
    /// The store's OTLP/HTTP endpoint.
    pub endpoint: Endpoint,
    /// What the store is.
    pub store: LogStore,
}

/// Dashboards with every choice made.
#[derive(Clone, Debug)]
pub struct Dashboards {
    /// Grafana folder.
    pub folder: String,
    /// Labels for Grafana's dashboard sidecar.
    pub labels: BTreeMap<String, String>,
    /// How dashboards reach Grafana: Operator or ConfigMap.
    pub by: Delivery,
    /// The profile's own data sources, unless it uses those that Grafana has.
    pub data_sources: Option<DataSources>,
}

/// Data sources with every choice made.
#[derive(Clone, Debug)]
pub struct DataSources {
    /// Labels for Grafana's data source sidecar.
    pub labels: BTreeMap<String, String>,
    /// How they reach Grafana: Operator or ConfigMap.
    pub by: Delivery,
}

/// A service level objective that is parsed and can alert.
#[derive(Clone, Debug)]
pub struct Slo {
    /// Its name.
    pub name: String,
    /// Its objective, exact.
    pub objective: Objective,
    /// The period of its error budget in days.
    pub window_days: u32,
    /// What is measured.
    pub indicator: Indicator,
    /// Labels of the indicator's series by which it is split, in the profile's order.
    pub group_by: Vec<String>,
    /// Fast burn pages.
    pub page: bool,
    /// Slow burn opens a ticket.
    pub ticket: bool,
    /// Labels of this SLO's alerts, over those of the profile.
    pub labels: BTreeMap<String, String>,
    /// The fewest events from which a window is judged.
    pub minimum_events: Option<u32>,
    /// How long the metric may be absent while pods run, as a Prometheus duration.
    pub absent_after: String,
}

/// What an SLO measures.
#[derive(Clone, Debug)]
pub enum Indicator {
    /// Bad events among all.
    Ratio {
        /// Which events are counted beside all.
        events: Events,
        /// Counter of all events.
        total: Selector,
    },
    /// Events faster than a threshold.
    Latency {
        /// Histogram without `_bucket`.
        histogram: Selector,
        /// Threshold as the profile gives it, a decimal.
        threshold: String,
        /// How it is exposed.
        kind: HistogramType,
    },
    /// Spans of an operation, as the collector counts them.
    Operation {
        /// Their name.
        name: String,
        /// Seconds as the profile gives them, a decimal; none where their status decides.
        threshold: Option<String>,
    },
    /// Time in which the last success is younger than `max_age`.
    Freshness {
        /// What tells of a success.
        success: Success,
        /// As a Prometheus duration.
        max_age: String,
    },
}

/// What tells of a job's success.
#[derive(Clone, Debug)]
pub enum Success {
    /// A counter that grows.
    Counter(Selector),
    /// A gauge with the Unix time of the last one.
    Timestamp(Selector),
}

/// Which events a ratio SLO counts beside all.
#[derive(Clone, Debug)]
pub enum Events {
    /// The good ones.
    Good(Selector),
    /// The bad ones.
    Bad(Selector),
}

/// How many collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A fixed number.
    Fixed(i32),
    /// An autoscaler decides.
    Auto {
        /// Fewest.
        min: i32,
        /// Most.
        max: i32,
        /// Aimed-at CPU use in percent of the request.
        cpu: i32,
    },
}

/// A workload with every default in force.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Container image.
    pub image: String,
    /// Names of Secrets with registry credentials.
    pub image_pull_secrets: Vec<String>,
    /// Requests and limits; the memory limit is always there.
    pub resources: ResourceRequirements,
    /// The memory limit in bytes.
    pub memory_limit: u64,
    /// Labels that a node must carry.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    pub tolerations: Vec<Toleration>,
    /// PriorityClass.
    pub priority_class_name: Option<String>,
}

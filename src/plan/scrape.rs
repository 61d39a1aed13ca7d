//! Scrape targets: the application's own endpoint and the collector's two, one for what passes through it and one for what
//! it says of itself. In: the validated profile. Out: monitors for the
//! Prometheus Operator, or a ConfigMap with a scrape configuration that any Prometheus loads. No cluster.
//!
//! Both forms give the same series the same labels: `job`, `namespace`, `pod`, `instance` and no others. Rules and
//! dashboards rely on it.

mod monitor;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde::Serialize;

use super::meta::{self, Component};
use super::{Child, PlanError, pipeline, pod};
use crate::validate::{Delivery, Metrics, ValidatedProfile};
use crate::yaml;

/// Label of ConfigMaps that hold a scrape configuration, for whatever carries them to a Prometheus.
pub const SCRAPE_LABEL: &str = "telemetry-operator.dev/prometheus-scrape";

/// Path of the collector's metrics.
const COLLECTOR_PATH: &str = "/metrics";

/// `job` label of the application's own metrics.
#[must_use]
pub fn application_job(profile: &ValidatedProfile) -> String {
    format!("{}/{}-metrics", profile.namespace, profile.name)
}

/// `job` label of the metrics that the collector exposes, those about itself among them.
#[must_use]
pub fn collector_job(profile: &ValidatedProfile) -> String {
    format!("{}/{}-collector", profile.namespace, profile.name)
}

/// Name of the scrape configuration of the collector's metrics about itself.
#[must_use]
pub fn collector_own_pool(profile: &ValidatedProfile) -> String {
    format!("{}-own", collector_job(profile))
}

/// Plans the monitors or the ConfigMap; nothing for a managed Prometheus, whose own configuration has the targets.
///
/// # Errors
/// When an object or the file cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(metrics) = &profile.metrics else {
        return Ok(Vec::new());
    };
    match metrics.scrape_by {
        Delivery::Operator => monitor::plan(profile, metrics),
        Delivery::ConfigMap => Ok(vec![config_map(profile, metrics)?]),
        Delivery::Managed => Ok(Vec::new()),
    }
}

/// The file has the namespace and the profile in its name, with a dot that neither has: many of them come together in one
/// directory.
fn config_map(profile: &ValidatedProfile, metrics: &Metrics) -> Result<Child, PlanError> {
    let mut metadata = meta::object_meta(profile, Component::Metrics);
    metadata.labels.get_or_insert_default().insert(SCRAPE_LABEL.to_owned(), "true".to_owned());
    let file = ScrapeFile { scrape_configs: configs(profile, metrics) };
    let name = format!("{}.{}.scrape.yaml", profile.namespace, profile.name);
    pod::config_map(metadata, BTreeMap::from([(name, yaml::to_string(&file)?)]))
}

/// A file for Prometheus' `scrape_config_files`.
#[derive(Debug, Serialize)]
struct ScrapeFile {
    scrape_configs: Vec<ScrapeConfig>,
}

/// One entry of Prometheus' `scrape_configs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScrapeConfig {
    job_name: String,
    scrape_interval: String,
    metrics_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    always_scrape_classic_histograms: Option<bool>,
    kubernetes_sd_configs: Vec<Discovery>,
    relabel_configs: Vec<Relabeling>,
}

impl ScrapeConfig {
    /// For a Prometheus that takes native histograms: what an application exposes in both forms is kept in both.
    #[must_use]
    pub fn with_classic_histograms(self) -> Self {
        Self { always_scrape_classic_histograms: Some(true), ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Discovery {
    role: &'static str,
    namespaces: Namespaces,
    selectors: Vec<RoleSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Namespaces {
    names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct RoleSelector {
    role: &'static str,
    label: String,
}

/// One relabelling step. What is left out has Prometheus' default: the whole value goes to the target label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Relabeling {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_labels: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
    action: &'static str,
}

/// The scrape configurations of the application and of the collector.
#[must_use]
pub fn configs(profile: &ValidatedProfile, metrics: &Metrics) -> Vec<ScrapeConfig> {
    let collector = meta::pod_selector(profile, Component::Collector);
    let job = |job_name: String, port: u16, path: &str, selector: &LabelSelector| ScrapeConfig {
        job_name,
        scrape_interval: metrics.interval.clone(),
        metrics_path: path.to_owned(),
        always_scrape_classic_histograms: None,
        kubernetes_sd_configs: vec![Discovery {
            role: "pod",
            namespaces: Namespaces { names: vec![profile.namespace.clone()] },
            selectors: vec![RoleSelector { role: "pod", label: selector_text(selector) }],
        }],
        relabel_configs: relabelings(port),
    };
    // Prometheus takes no two configurations of one name.
    let mut own = job(collector_own_pool(profile), pipeline::OWN_METRICS, COLLECTOR_PATH, &collector);
    own.relabel_configs.push(collector_job_label(profile));
    vec![
        job(application_job(profile), metrics.port, &metrics.path, &profile.selector),
        job(collector_job(profile), pipeline::PROMETHEUS_EXPORTER, COLLECTOR_PATH, &collector),
        own,
    ]
}

fn collector_job_label(profile: &ValidatedProfile) -> Relabeling {
    Relabeling {
        target_label: Some("job"),
        replacement: Some(collector_job(profile)),
        action: "replace",
        ..Relabeling::default()
    }
}

/// What makes one target of a pod. Where no step sets it, `job` is the configuration's name.
fn relabelings(port: u16) -> Vec<Relabeling> {
    let ended = Relabeling {
        source_labels: Some(["__meta_kubernetes_pod_phase"]),
        regex: Some("Succeeded|Failed"),
        action: "drop",
        ..Relabeling::default()
    };
    let copy = |source, target| Relabeling {
        source_labels: Some([source]),
        target_label: Some(target),
        action: "replace",
        ..Relabeling::default()
    };
    let [ipv4, ipv6] = addresses(port);
    vec![
        ended,
        ipv4,
        ipv6,
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_name", "pod"),
    ]
}

/// Puts the pod's address and the port in the place of whatever the pod declares.
///
/// Discovery gives one target for each declared port and one for each container without any. With the address from the
/// pod and no label from the container they are all alike, and Prometheus scrapes what is alike once. The first step
/// takes IPv4 addresses, the second puts brackets around IPv6 addresses.
fn addresses(port: u16) -> [Relabeling; 2] {
    let step = |regex, replacement| Relabeling {
        source_labels: Some(["__meta_kubernetes_pod_ip"]),
        regex: Some(regex),
        target_label: Some("__address__"),
        replacement: Some(replacement),
        action: "replace",
    };
    [step("([^:]+)", format!("${{1}}:{port}")), step("(.+:.*)", format!("[${{1}}]:{port}"))]
}

/// A label selector as the API server's `labelSelector` parameter takes it.
#[must_use]
pub fn selector_text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(requirement_text);
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

fn requirement_text(requirement: &LabelSelectorRequirement) -> String {
    let key = &requirement.key;
    let values = || requirement.values.as_deref().unwrap_or_default().join(",");
    match requirement.operator.as_str() {
        "In" => format!("{key} in ({})", values()),
        "NotIn" => format!("{key} notin ({})", values()),
        "DoesNotExist" => format!("!{key}"),
        _ => key.clone(),
    }
}

#[cfg(test)]
mod tests;

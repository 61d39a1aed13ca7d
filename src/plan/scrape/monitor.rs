//! Scrape targets as objects of the Prometheus Operator. In: the validated profile. Out: PodMonitor and ServiceMonitor.
//! No cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;

use super::{COLLECTOR_PATH, Relabeling, addresses, collector_job_label};
use crate::kinds::ChildKind;
use crate::plan::meta::{self, Component};
use crate::plan::{Child, PlanError};
use crate::validate::{Metrics, ValidatedProfile};

/// Names of the ports of the collector's Service behind which metrics are: those of the application, and its own.
const COLLECTOR_PORTS: [&str; 2] = ["metrics", "own-metrics"];

#[derive(Debug, Serialize)]
struct Monitor<S> {
    metadata: ObjectMeta,
    spec: S,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodMonitorSpec {
    selector: LabelSelector,
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct ServiceMonitorSpec {
    selector: LabelSelector,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<&'static str>,
    path: String,
    interval: String,
    relabelings: Vec<MonitorRelabeling>,
}

/// A [`Relabeling`] as monitors spell it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MonitorRelabeling {
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

impl From<Relabeling> for MonitorRelabeling {
    fn from(step: Relabeling) -> Self {
        let Relabeling { source_labels, regex, target_label, replacement, action } = step;
        Self { source_labels, regex, target_label, replacement, action }
    }
}

/// Plans the PodMonitor of the application and the ServiceMonitor of the collector.
pub(super) fn plan(profile: &ValidatedProfile, metrics: &Metrics) -> Result<Vec<Child>, PlanError> {
    Ok(vec![
        Child::new(ChildKind::PodMonitor, &application(profile, metrics))?,
        Child::new(ChildKind::ServiceMonitor, &collector(profile, metrics))?,
    ])
}

/// Without a port the Prometheus Operator keeps every target that discovery finds, so the application need not declare
/// one; the address is set here. It sets `job` to the monitor's namespace and name itself, and `container` as well,
/// which must go: it would tell apart what is one target.
fn application(profile: &ValidatedProfile, metrics: &Metrics) -> Monitor<PodMonitorSpec> {
    let relabelings = addresses(metrics.port).into_iter().chain([drop_labels("container")]);
    Monitor {
        metadata: meta::monitor_meta(profile, Component::Metrics),
        spec: PodMonitorSpec {
            selector: profile.selector.clone(),
            pod_metrics_endpoints: vec![Endpoint {
                port: None,
                path: metrics.path.clone(),
                interval: metrics.interval.clone(),
                relabelings: relabelings.map(Into::into).collect(),
            }],
        },
    }
}

fn collector(profile: &ValidatedProfile, metrics: &Metrics) -> Monitor<ServiceMonitorSpec> {
    let endpoint = |port| Endpoint {
        port: Some(port),
        path: COLLECTOR_PATH.to_owned(),
        interval: metrics.interval.clone(),
        relabelings: [collector_job_label(profile), drop_labels("container|endpoint|service")]
            .map(Into::into)
            .into(),
    };
    Monitor {
        metadata: meta::monitor_meta(profile, Component::Collector),
        spec: ServiceMonitorSpec {
            selector: meta::pod_selector(profile, Component::Collector),
            endpoints: COLLECTOR_PORTS.map(endpoint).into(),
        },
    }
}

fn drop_labels(regex: &'static str) -> Relabeling {
    Relabeling { regex: Some(regex), action: "labeldrop", ..Relabeling::default() }
}

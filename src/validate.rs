//! (profile, observed, settings) → [`ValidatedProfile`], or everything that is wrong with the profile. Pure.
//!
//! What one object can answer in CEL the API server has refused already; here is what needs a parser or arithmetic, and
//! every default and choice is made. Nothing after this step reads the raw spec.

mod problem;
mod slos;
mod validated;
mod workloads;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

pub(crate) use problem::is_label_key;
pub use problem::{Code, Problem, ProfileError};
pub use slos::seconds;
pub use validated::*;
pub use workloads::{SIDECAR as SIDECAR_DEFAULTS, sidecar_amounts};

use crate::kinds::{ChildKind, MANAGED_BY, MANAGED_BY_LABEL};
use crate::observed::Observed;
use crate::profile::{
    self, DashboardDelivery, LabelValue, PrometheusMode, SamplingPoint, StorageKind, TelemetryProfile,
    TelemetryProfileSpec, TraceProtocol,
};
use crate::quantity;
use crate::settings::Settings;
use problem::Problems;

/// Smallest memory limit of a Jaeger with Badger: its tables and caches are of a fixed size.
const BADGER_MEMORY_LIMIT: u64 = 512 * 1024 * 1024;
/// How long Badger keeps spans when the profile does not say.
const DEFAULT_RETENTION: &str = "72h";
/// Size of Badger's volume when the profile does not say.
const DEFAULT_SIZE: &str = "10Gi";

/// Checks the profile and makes every choice.
///
/// # Errors
/// All problems at once, each with the field's path and what to write instead.
pub fn validate(
    profile: &TelemetryProfile,
    observed: &Observed,
    settings: &Settings,
) -> Result<ValidatedProfile, ProfileError> {
    let spec = &profile.spec;
    let name = profile.metadata.name.clone().unwrap_or_default();
    let mut problems = Problems::default();
    let traces = traces(spec, &mut problems);
    let metrics = metrics(spec, observed);
    let logs = logs(spec, &mut problems);
    let slos = slos::validate(spec, &mut problems);
    let collector = workloads::workload(
        "spec.collector",
        &spec.collector.workload,
        &settings.collector_image,
        &workloads::COLLECTOR,
        &mut problems,
    );
    let jaeger = workloads::workload(
        "spec.jaeger",
        &spec.jaeger,
        &settings.jaeger_image,
        &workloads::JAEGER,
        &mut problems,
    );
    let prometheus = workloads::workload(
        "spec",
        &profile::Workload::default(),
        &settings.prometheus_image,
        &workloads::PROMETHEUS,
        &mut problems,
    );
    let [_, (_, sidecar_memory)] = sidecar_amounts(&spec.sidecar);
    let badger = traces
        .as_ref()
        .is_some_and(|traces| matches!(traces.back_end, TraceBackEnd::Jaeger(JaegerStorage::Badger { .. })));
    if badger && jaeger.memory_limit < BADGER_MEMORY_LIMIT {
        problems.add(
            Code::MemoryLimit,
            "spec.jaeger.resources.limits.memory",
            "Badger's own buffers take some hundred MiB",
            "give at least 512Mi, or set traces.jaeger.storage to Memory",
        );
    }
    let selector = selector(spec, &mut problems);
    problems.label_keys("spec.metrics.labels", spec.metrics.labels.keys());
    problems.label_keys("spec.dashboards.labels", spec.dashboards.labels.keys());
    problems.label_keys("spec.dashboards.dataSourceLabels", spec.dashboards.data_source_labels.keys());
    problems.into_result()?;

    let prometheus_url = if metrics.as_ref().is_some_and(|metrics| metrics.scrape_by == Delivery::Managed) {
        Some(format!("http://{name}-prometheus:9090"))
    } else {
        settings.prometheus_url.clone().filter(|_| metrics.is_some())
    };
    Ok(ValidatedProfile {
        namespace: profile.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        uid: profile.metadata.uid.clone(),
        selector,
        service: ServiceIdentity {
            name: spec.service.name.clone(),
            version: spec.service.version.clone(),
            environment: spec.service.environment.clone(),
        },
        traces,
        metrics,
        logs,
        logs_wanted: spec.logs.enabled,
        dashboards: dashboards(spec, observed),
        slos,
        alert_labels: spec.alerting.labels.iter().map(|(key, text)| (key.clone(), text.0.clone())).collect(),
        runbook_base_url: spec
            .alerting
            .runbook_base_url
            .as_ref()
            .map(|url| url.trim_end_matches('/').to_owned()),
        collector_scale: scale(spec),
        jaeger,
        prometheus,
        sidecar: spec.sidecar.enabled,
        sidecar_image: sidecar_image(spec, settings),
        sidecar_memory_limit: quantity::bytes(&sidecar_memory).unwrap_or_default(),
        collector,
        prometheus_url,
        alertmanager_urls: settings.alertmanager_url.clone(),
        grafana_url: settings.grafana_url.clone(),
        prometheus_role: RoleName::of_prometheus(settings),
        name,
    })
}

fn selector(spec: &TelemetryProfileSpec, problems: &mut Problems) -> meta::LabelSelector {
    problems.label_keys("spec.selector.matchLabels", spec.selector.match_labels.keys());
    for (index, requirement) in spec.selector.match_expressions.iter().enumerate() {
        let path = format!("spec.selector.matchExpressions[{index}].key");
        problems.label_keys(&path, std::iter::once(&requirement.key));
    }
    // The profile's own collector may bear labels that the application is selected by, such as the instance: it is none
    // of the application's pods.
    let not_ours = meta::LabelSelectorRequirement {
        key: MANAGED_BY_LABEL.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![MANAGED_BY.to_owned()]),
    };
    let mut selector = label_selector(&spec.selector);
    selector.match_expressions.get_or_insert_default().push(not_ours);
    selector
}

/// A profile's selector as Kubernetes has it.
#[must_use]
pub fn label_selector(selector: &profile::LabelSelector) -> meta::LabelSelector {
    let expressions = selector.match_expressions.iter().map(|requirement| meta::LabelSelectorRequirement {
        key: requirement.key.clone(),
        operator: requirement.operator.as_str().to_owned(),
        values: (!requirement.values.is_empty())
            .then(|| requirement.values.iter().map(|value| value.0.clone()).collect()),
    });
    let expressions: Vec<_> = expressions.collect();
    meta::LabelSelector {
        match_labels: (!selector.match_labels.is_empty()).then(|| label_values(&selector.match_labels)),
        match_expressions: (!expressions.is_empty()).then_some(expressions),
    }
}

fn label_values(labels: &BTreeMap<String, LabelValue>) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn traces(spec: &TelemetryProfileSpec, problems: &mut Problems) -> Option<Traces> {
    let traces = &spec.traces;
    let back_end = match &traces.endpoint {
        Some(url) => TraceBackEnd::Endpoint(endpoint("spec.traces.endpoint", url, problems)?),
        None => TraceBackEnd::Jaeger(jaeger_storage(traces.jaeger.as_ref())),
    };
    let collector_samples = traces.sampling.at == SamplingPoint::Collector;
    traces.enabled.then(|| Traces {
        collector_sampling_percentage: percentage(&traces.sampling.ratio).filter(|_| collector_samples),
        ratio: traces.sampling.ratio.clone(),
        otlp: traces.protocols.contains(&TraceProtocol::Otlp),
        jaeger_thrift_http: traces.protocols.contains(&TraceProtocol::JaegerThriftHttp),
        back_end,
    })
}

/// A ratio of the schema's pattern (at most six decimals) as an exact percentage; none for all traces.
fn percentage(ratio: &str) -> Option<String> {
    let (whole, fraction) = ratio.split_once('.').unwrap_or((ratio, ""));
    if whole == "1" {
        return None;
    }
    let digits = format!("{fraction:0<6}");
    let (percent, rest) = digits.split_at(2);
    let text = format!("{percent}.{rest}");
    let text = text.trim_start_matches('0').trim_end_matches('0').trim_end_matches('.');
    Some(if text.is_empty() || text.starts_with('.') { format!("0{text}") } else { text.to_owned() })
}

fn jaeger_storage(jaeger: Option<&profile::JaegerStorage>) -> JaegerStorage {
    match jaeger {
        Some(jaeger) if jaeger.storage == StorageKind::Badger => JaegerStorage::Badger {
            retention: hours(jaeger.retention.as_deref().unwrap_or(DEFAULT_RETENTION)),
            size: jaeger.size.clone().unwrap_or_else(|| DEFAULT_SIZE.to_owned()),
            storage_class_name: jaeger.storage_class_name.clone(),
        },
        _ => JaegerStorage::Memory,
    }
}

/// Days as hours: a Go duration has no days.
fn hours(duration: &str) -> String {
    match duration.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        Some(days) => format!("{}h", days * 24),
        None => duration.to_owned(),
    }
}

/// Splits a URL of the schema's pattern.
fn endpoint(path: &str, url: &str, problems: &mut Problems) -> Option<Endpoint> {
    let url = url.trim_end_matches('/');
    let tls = url.starts_with("https://");
    let rest = url.trim_start_matches("https://").trim_start_matches("http://");
    let host_port = rest.split('/').next().unwrap_or_default();
    let port = match host_port.rsplit_once(':') {
        Some((_, port)) => port.parse::<u16>().ok().filter(|port| *port > 0),
        None => Some(if tls { 443 } else { 80 }),
    };
    let Some(port) = port else {
        problems.add(
            Code::Port,
            path,
            format!("{url} has no port between 1 and 65535"),
            "write a port such as :4317",
        );
        return None;
    };
    let host = host_port.rsplit_once(':').map_or(host_port, |(host, _)| host);
    Some(Endpoint { url: url.to_owned(), authority: format!("{host}:{port}"), port, tls })
}

fn metrics(spec: &TelemetryProfileSpec, observed: &Observed) -> Option<Metrics> {
    let metrics = &spec.metrics;
    let by = |kinds: &[ChildKind]| match metrics.prometheus {
        PrometheusMode::Operator => Delivery::Operator,
        PrometheusMode::ConfigMap => Delivery::ConfigMap,
        PrometheusMode::Managed => Delivery::Managed,
        PrometheusMode::Auto if kinds.iter().all(|kind| observed.serves(*kind)) => Delivery::Operator,
        PrometheusMode::Auto => Delivery::ConfigMap,
    };
    metrics.enabled.then(|| Metrics {
        port: metrics.port,
        path: metrics.path.clone(),
        interval: metrics.interval.clone(),
        interval_seconds: slos::interval_seconds(spec),
        instruments: metrics.instruments.clone(),
        scrape_by: by(&[ChildKind::ServiceMonitor, ChildKind::PodMonitor]),
        rules_by: by(&[ChildKind::PrometheusRule]),
        labels: label_values(&metrics.labels),
    })
}

fn logs(spec: &TelemetryProfileSpec, problems: &mut Problems) -> Option<Logs> {
    let endpoint = endpoint("spec.logs.endpoint", spec.logs.endpoint.as_ref()?, problems)?;
    spec.logs.enabled.then_some(Logs { format: spec.logs.format, endpoint, store: spec.logs.store })
}

fn dashboards(spec: &TelemetryProfileSpec, observed: &Observed) -> Option<Dashboards> {
    let dashboards = &spec.dashboards;
    let by = |kind| match dashboards.delivery {
        DashboardDelivery::GrafanaOperator if observed.serves(kind) => Delivery::Operator,
        _ => Delivery::ConfigMap,
    };
    let provisioned = dashboards.data_sources == profile::DataSources::Provisioned;
    dashboards.enabled.then(|| Dashboards {
        folder: dashboards.folder.clone().unwrap_or_else(|| spec.service.name.replace(['/', '.'], "-")),
        labels: label_values(&dashboards.labels),
        by: by(ChildKind::GrafanaDashboard),
        data_sources: provisioned.then(|| DataSources {
            labels: label_values(&dashboards.data_source_labels),
            by: by(ChildKind::GrafanaDatasource),
        }),
    })
}

/// The sidecar's image: its own, else the collector's, else the operator's default.
#[must_use]
pub fn sidecar_image(spec: &TelemetryProfileSpec, settings: &Settings) -> String {
    let given = spec.sidecar.image.as_ref().or(spec.collector.workload.image.as_ref());
    given.map_or_else(|| settings.collector_image.clone(), |image| image.0.clone())
}

fn scale(spec: &TelemetryProfileSpec) -> Scale {
    match &spec.collector.autoscaling {
        Some(auto) => Scale::Auto { min: auto.min, max: auto.max, cpu: auto.cpu },
        None => Scale::Fixed(spec.collector.replicas.unwrap_or(1)),
    }
}

/// A profile for tests, put through the real step. `spec` is the YAML of a spec.
#[cfg(test)]
pub fn fixture(spec: &str) -> ValidatedProfile {
    fixture_with(spec, &Observed::default())
}

/// As [`fixture`], with optional kinds served.
#[cfg(test)]
pub fn fixture_with(spec: &str, observed: &Observed) -> ValidatedProfile {
    let spec: TelemetryProfileSpec = serde_yaml::from_str(spec).expect("the fixture is a spec");
    let mut profile = TelemetryProfile::new("trakt", spec);
    profile.metadata.namespace = Some("media".to_owned());
    profile.metadata.uid = Some("6f1d8f0a-0000-4000-8000-000000000001".to_owned());
    validate(&profile, observed, &Settings::default()).expect("the fixture is valid")
}

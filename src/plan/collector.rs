//! The collector: account, configuration, Service, Deployment, autoscaler, disruption budget, network policy. In: the
//! validated profile. Out: children, none when no signal passes through a collector. No cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{self, Component};
use super::network::{self, Arrow, Peer};
use super::pipeline::{
    self, HEALTH, JAEGER_THRIFT_HTTP, OTLP_GRPC, OTLP_HTTP, OWN_METRICS, PROMETHEUS_EXPORTER,
};
use super::pod::{self, Health, Listener, PodParts};
use super::{Child, PlanError, components, short_hash};
use crate::kinds::ChildKind;
use crate::validate::{Scale, TraceBackEnd, ValidatedProfile};
use crate::yaml;

const COMPONENT: Component = Component::Collector;
/// Numeric user of the collector's images.
const USER: i64 = 10_001;
const CONFIG_DIRECTORY: &str = "/etc/otelcol";
const CONFIG_FILE: &str = "collector.yaml";

/// Plans the collector's children.
///
/// # Errors
/// When the collector's image lacks a component that the configuration uses, or an object cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    if !profile.has_collector() {
        return Ok(Vec::new());
    }
    let configuration = pipeline::configuration(profile);
    components::check(&profile.collector.image, configuration.components())?;
    let text = yaml::to_string(&configuration)?;
    let config_hash = short_hash(text.as_bytes());
    let files = BTreeMap::from([(CONFIG_FILE.to_owned(), text)]);
    let mut children = vec![
        pod::service_account(profile, COMPONENT)?,
        network_policy(profile)?,
        pod::config_map(meta::object_meta(profile, COMPONENT), files)?,
        pod::service(profile, COMPONENT, &listeners(profile))?,
        deployment(profile, config_hash)?,
    ];
    if let Scale::Auto { min, max, cpu } = profile.collector_scale {
        children.push(autoscaler(profile, min, max, cpu)?);
    }
    if most_replicas(profile.collector_scale) > 1 {
        children.push(disruption_budget(profile)?);
    }
    Ok(children)
}

/// The ports that the configuration listens at, but for health, which only the kubelet asks for.
fn listeners(profile: &ValidatedProfile) -> Vec<Listener> {
    let listener = |name, port, app_protocol| Listener { name, port, app_protocol };
    let mut listeners = Vec::new();
    if pipeline::receives_otlp(profile) {
        listeners.push(listener("otlp-grpc", OTLP_GRPC, "grpc"));
        listeners.push(listener("otlp-http", OTLP_HTTP, "http"));
    }
    if pipeline::receives_jaeger_thrift(profile) {
        listeners.push(listener("jaeger-thrift", JAEGER_THRIFT_HTTP, "http"));
    }
    if profile.metrics.is_some() {
        listeners.push(listener("metrics", PROMETHEUS_EXPORTER, "http"));
        listeners.push(listener("own-metrics", OWN_METRICS, "http"));
    }
    listeners
}

fn deployment(profile: &ValidatedProfile, config_hash: String) -> Result<Child, PlanError> {
    let listeners = listeners(profile);
    let ports = listeners.iter().map(|listener| (listener.name, i32::from(listener.port)));
    let parts = PodParts {
        component: COMPONENT,
        workload: &profile.collector,
        user: USER,
        args: vec![format!("--config={CONFIG_DIRECTORY}/{CONFIG_FILE}")],
        ports: ports.chain([("health", i32::from(HEALTH))]).collect(),
        health: Health { port: HEALTH.into(), live: "/", ready: "/" },
        volumes: vec![pod::config_volume(profile, COMPONENT, CONFIG_DIRECTORY)],
        config_hash: Some(config_hash),
        api_access: false,
        drains: true,
    };
    let replicas = match profile.collector_scale {
        Scale::Fixed(replicas) => Some(replicas),
        Scale::Auto { .. } => None,
    };
    pod::deployment(profile, &parts, replicas, pod::new_pod_first())
}

fn autoscaler(profile: &ValidatedProfile, min: i32, max: i32, cpu: i32) -> Result<Child, PlanError> {
    let cpu = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(cpu),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Child::new(
        ChildKind::HorizontalPodAutoscaler,
        &HorizontalPodAutoscaler {
            metadata: meta::object_meta(profile, COMPONENT),
            spec: HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some(ChildKind::Deployment.api_version()),
                    kind: ChildKind::Deployment.name().to_owned(),
                    name: meta::child_name(profile, COMPONENT),
                },
                min_replicas: Some(min),
                max_replicas: max,
                metrics: Some(vec![cpu]),
                ..HorizontalPodAutoscalerSpec::default()
            },
            ..HorizontalPodAutoscaler::default()
        },
    )
}

const fn most_replicas(scale: Scale) -> i32 {
    match scale {
        Scale::Fixed(replicas) => replicas,
        Scale::Auto { max, .. } => max,
    }
}

fn disruption_budget(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    Child::new(
        ChildKind::PodDisruptionBudget,
        &PodDisruptionBudget {
            metadata: meta::object_meta(profile, COMPONENT),
            spec: Some(PodDisruptionBudgetSpec {
                selector: Some(meta::pod_selector(profile, COMPONENT)),
                max_unavailable: Some(IntOrString::Int(1)),
                // A collector that does not work must not keep a node from being drained.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        },
    )
}

fn network_policy(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let (scraped, received): (Vec<u16>, Vec<u16>) = listeners(profile)
        .iter()
        .map(|listener| listener.port)
        .partition(|port| [PROMETHEUS_EXPORTER, OWN_METRICS].contains(port));
    let prometheus = if profile.has_managed_prometheus() {
        Peer::Component(Component::Prometheus)
    } else {
        Peer::Software("prometheus")
    };
    let mut ingress = vec![Arrow::new(profile, Peer::Application, &received)];
    if !scraped.is_empty() {
        ingress.push(Arrow::new(profile, prometheus, &scraped));
    }
    let mut egress = Vec::new();
    match profile.traces.as_ref().map(|traces| &traces.back_end) {
        Some(TraceBackEnd::Jaeger(_)) => {
            egress.push(Arrow::new(profile, Peer::Component(Component::Jaeger), &[OTLP_GRPC]));
        }
        Some(TraceBackEnd::Endpoint(endpoint)) => egress.extend(Arrow::to_url(profile, &endpoint.url)),
        None => {}
    }
    if let Some(logs) = &profile.logs {
        egress.extend(Arrow::to_url(profile, &logs.endpoint.url));
    }
    network::policy(profile, COMPONENT, &ingress, &egress)
}

#[cfg(test)]
mod tests;

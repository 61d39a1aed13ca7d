//! The validated profile → the addresses and the effective settings that status shows. Pure.

use crate::plan::meta::{Component, service_url};
use crate::plan::{jaeger, pipeline, prometheus};
use crate::profile::{Effective, Endpoints};
use crate::validate::{Delivery, JaegerStorage, TraceBackEnd, ValidatedProfile};

/// Where to send, and where to look.
pub(super) fn endpoints(profile: &ValidatedProfile) -> Endpoints {
    let url = |component, port| service_url(profile, component, port);
    let collector = profile.has_collector();
    let thrift = profile.traces.as_ref().is_some_and(|traces| traces.jaeger_thrift_http);
    Endpoints {
        otlp_grpc: collector.then(|| url(Component::Collector, pipeline::OTLP_GRPC)),
        otlp_http: collector.then(|| url(Component::Collector, pipeline::OTLP_HTTP)),
        jaeger_thrift_http: thrift
            .then(|| url(Component::Collector, pipeline::JAEGER_THRIFT_HTTP) + pipeline::JAEGER_THRIFT_PATH),
        trace_query: profile.jaeger_storage().map(|_| url(Component::Jaeger, jaeger::QUERY_HTTP)),
        prometheus: profile.has_managed_prometheus().then(|| url(Component::Prometheus, prometheus::PORT)),
    }
}

/// The settings that are in force.
pub(super) fn effective(profile: &ValidatedProfile) -> Effective {
    let by = |delivery: Delivery| delivery.as_str().to_owned();
    Effective {
        sampling_ratio: profile.traces.as_ref().map(|traces| traces.ratio.clone()),
        trace_back_end: profile.traces.as_ref().map(|traces| match &traces.back_end {
            TraceBackEnd::Jaeger(JaegerStorage::Memory) => "Jaeger (Memory)".to_owned(),
            TraceBackEnd::Jaeger(JaegerStorage::Badger { .. }) => "Jaeger (Badger)".to_owned(),
            TraceBackEnd::Endpoint(endpoint) => endpoint.url.clone(),
        }),
        scrape_by: profile.metrics.as_ref().map(|metrics| by(metrics.scrape_by)),
        rules_by: profile
            .metrics
            .as_ref()
            .filter(|_| !profile.slos.is_empty())
            .map(|metrics| by(metrics.rules_by)),
        dashboards_by: profile.dashboards.as_ref().map(|dashboards| match dashboards.by {
            Delivery::Operator => "GrafanaOperator".to_owned(),
            Delivery::ConfigMap | Delivery::Managed => "ConfigMap".to_owned(),
        }),
        collector_image: profile.has_collector().then(|| profile.collector.image.clone()),
    }
}

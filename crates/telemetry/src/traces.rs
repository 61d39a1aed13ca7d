//! In: `tracing` spans and spans by the OpenTelemetry API. Out: OpenTelemetry spans with the resource of this process, on their
//! way into the exporter's queue. Decides which spans belong to a trace. No network of its own.

use std::time::Duration;

use opentelemetry::trace::{Span as _, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use opentelemetry_semantic_conventions::attribute::{
    DEPLOYMENT_ENVIRONMENT_NAME, SERVICE_NAME, SERVICE_VERSION,
};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Resolved;
use crate::correlation::CorrelationId;

/// The crates that carry telemetry to the endpoint: tracing them would make new spans of every export.
pub(crate) const TRANSPORT: [&str; 7] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "rustls", "tonic", "tower"];

/// Crates that open spans of their own around the work of an operator. The work itself is the root of its
/// trace.
const SURROUNDINGS: [&str; 2] = ["kube_client", "kube_runtime"];

/// The correlation id, on spans and as a key of W3C baggage.
pub(crate) const CORRELATION_ATTRIBUTE: &str = "correlation.id";
/// The environment on the span of an operation.
pub(crate) const ENVIRONMENT_ATTRIBUTE: &str = "environment";
/// What `deployment.environment.name` was called before; dashboards ask for either.
const DEPLOYMENT_ENVIRONMENT: &str = "deployment.environment";

/// A provider that exports what `sampler` keeps in batches; or, without an exporter, one that records nothing and only gives
/// spans their ids.
pub(crate) fn provider<E: SpanExporter + 'static>(
    resource: Resource,
    sampler: Sampler,
    exporter: Option<E>,
) -> SdkTracerProvider {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    match exporter {
        Some(exporter) => builder
            .with_sampler(sampler)
            .with_span_processor(Correlating)
            .with_batch_exporter(exporter)
            .build(),
        // A caller's trace still goes on to whoever is called from here.
        None => builder.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff))).build(),
    }
}

/// Puts the correlation id on every span, however it is made.
#[derive(Debug)]
pub(crate) struct Correlating;

impl SpanProcessor for Correlating {
    fn on_start(&self, span: &mut Span, _: &Context) {
        if let Some(id) = CorrelationId::current() {
            span.set_attribute(KeyValue::new(CORRELATION_ATTRIBUTE, id.shared()));
        }
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What is said of this process on everything that it sends: what the environment says, and what it left of the
/// configuration.
pub(crate) fn resource(resolved: &Resolved) -> Resource {
    let config = &resolved.config;
    let own = [
        (SERVICE_NAME, &config.service_name),
        (SERVICE_VERSION, &config.service_version),
        (DEPLOYMENT_ENVIRONMENT_NAME, &config.environment),
        (DEPLOYMENT_ENVIRONMENT, &config.environment),
    ];
    let attribute = |(key, value): &(String, String)| KeyValue::new(key.clone(), value.clone());
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(resolved.attributes.iter().map(attribute))
        .with_attributes(
            own.into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| KeyValue::new(key, value.clone())),
        )
        .build()
}

/// The layer that turns spans of this program, from INFO up, into OpenTelemetry spans.
pub(crate) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        // A task moves between worker threads; the one that it began on says nothing.
        .with_threads(false)
        .with_filter(FilterFn::new(is_traced).with_max_level_hint(LevelFilter::INFO))
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::INFO && !is_transport(target) && !SURROUNDINGS.contains(&origin(target))
}

/// Whether a span or an event comes from what carries telemetry to the endpoint.
pub(crate) fn is_transport(target: &str) -> bool {
    let origin = origin(target);
    TRANSPORT.contains(&origin) || origin.starts_with("opentelemetry")
}

/// The crate that a target belongs to.
fn origin(target: &str) -> &str {
    target.split_once("::").map_or(target, |(origin, _)| origin)
}

/// The trace id of the current span, in hex, if the trace can be looked up where the spans go: `None` outside
/// any span, and where spans are not exported.
pub fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        (span.is_valid() && span.is_sampled()).then(|| span.trace_id().to_string())
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::SpanId;
    use tracing::{debug_span, info_span};

    use super::*;
    use crate::fixture::Recorder;

    #[test]
    fn the_trace_begins_at_reconcile_and_not_at_the_runtime_around_it() {
        let recorder = Recorder::new("info");
        recorder.run(|| {
            let around = info_span!(target: "kube_runtime::controller", "reconciling object");
            around.in_scope(|| {
                let first = info_span!("reconcile").in_scope(|| {
                    info_span!("plan").in_scope(|| ());
                    trace_id()
                });
                let second = info_span!("reconcile").in_scope(trace_id);
                assert!(first.is_some() && second.is_some(), "no trace id: {first:?} {second:?}");
                assert_ne!(first, second, "two reconciles share a trace");
            });
        });

        let spans = recorder.spans();
        let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["plan", "reconcile", "reconcile"]);
        assert_eq!(spans[1].parent_span_id, SpanId::INVALID, "reconcile is not a root");
        assert_eq!(spans[2].parent_span_id, SpanId::INVALID, "reconcile is not a root");
        assert_eq!(
            spans[0].parent_span_id,
            spans[1].span_context.span_id(),
            "plan is not a child of reconcile"
        );
    }

    #[test]
    fn a_span_of_the_transport_in_the_middle_is_left_out_and_its_child_is_kept() {
        let recorder = Recorder::new("trace");
        recorder.run(|| {
            let _apply = info_span!("apply").entered();
            for target_of_transport in [
                info_span!(target: "h2::proto", "left out"),
                info_span!(target: "hyper_util::client", "left out"),
                info_span!(target: "tower", "left out"),
                info_span!(target: "opentelemetry-otlp", "left out"),
                info_span!(target: "opentelemetry_sdk::trace", "left out"),
                info_span!(target: "kube_client::client", "left out"),
                debug_span!("left out"),
            ] {
                let _middle = target_of_transport.entered();
                info_span!("child").in_scope(|| ());
            }
            info_span!(target: "towering::inferno", "child").in_scope(|| ());
        });

        let spans = recorder.spans();
        let (root, children) = spans.split_last().expect("no spans");
        assert_eq!(root.name, "apply");
        assert_eq!(children.len(), 8);
        for child in children {
            assert_eq!(child.name, "child");
            assert_eq!(child.parent_span_id, root.span_context.span_id());
        }
    }

    #[test]
    fn the_trace_id_is_that_of_the_exported_span() {
        let recorder = Recorder::new("info");
        let (outside, inside) = recorder.run(|| (trace_id(), info_span!("work").in_scope(trace_id)));
        assert_eq!(outside, None);
        assert_eq!(inside, Some(recorder.spans()[0].span_context.trace_id().to_string()));
    }
}

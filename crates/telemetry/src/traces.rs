//! In: `tracing` spans. Out: OpenTelemetry spans with the resource of this process, in the tracer provider's
//! queue. Decides which spans belong to a trace. No network of its own.

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TelemetryConfig;
use crate::error::TelemetryError;
use crate::export::{ExportCounters, OtlpExporter};

/// The crates that carry spans to the endpoint: tracing them would make new spans of every export.
pub(crate) const TRANSPORT: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tonic", "tower"];

/// Crates that open spans of their own around the work of an operator. The work itself is the root of its
/// trace.
const SURROUNDINGS: [&str; 2] = ["kube_client", "kube_runtime"];

/// A provider that records every span and exports it in batches; or, without an endpoint, one that records
/// none and only gives them ids.
pub(crate) fn provider(
    config: &TelemetryConfig,
    counters: ExportCounters,
) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(config));
    Ok(match &config.otlp_endpoint {
        Some(endpoint) => builder
            .with_sampler(Sampler::AlwaysOn)
            .with_batch_exporter(OtlpExporter::new(endpoint, counters)?)
            .build(),
        None => builder.with_sampler(Sampler::AlwaysOff).build(),
    })
}

/// What the environment says goes before what the program says.
fn resource(config: &TelemetryConfig) -> Resource {
    let builder = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", config.service_version.clone()),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name).build(),
        _ => builder.build(),
    }
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
    let origin = target.split_once("::").map_or(target, |(origin, _)| origin);
    *metadata.level() <= Level::INFO
        && !TRANSPORT.contains(&origin)
        && !SURROUNDINGS.contains(&origin)
        && !origin.starts_with("opentelemetry")
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
    use std::process::Command;

    use opentelemetry::Key;
    use opentelemetry::trace::SpanId;
    use tracing::{debug_span, info_span};

    use super::*;
    use crate::fixture::{Recorder, config};

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

    /// The environment of a running process cannot be changed safely, so the test starts itself once more
    /// with another.
    #[test]
    fn the_environment_goes_before_the_configuration() {
        const NAME: &str = "traces::tests::the_environment_goes_before_the_configuration";
        let attribute =
            |name: &'static str| resource(&config(None)).get(&Key::new(name)).map(|v| v.to_string());
        if std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok() {
            assert_eq!(attribute("service.name").as_deref(), Some("from-environment"));
            assert_eq!(attribute("service.version").as_deref(), Some("9.9"));
            assert_eq!(attribute("k8s.pod.name").as_deref(), Some("pod-1"));
            return;
        }
        assert_eq!(attribute("service.name").as_deref(), Some("fixture"));
        assert_eq!(attribute("service.version").as_deref(), Some("1.2.3"));
        assert_eq!(attribute("telemetry.sdk.language").as_deref(), Some("rust"));

        for variables in [
            vec![(
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=from-environment,service.version=9.9,k8s.pod.name=pod-1",
            )],
            vec![
                ("OTEL_SERVICE_NAME", "from-environment"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,service.version=9.9,k8s.pod.name=pod-1"),
            ],
        ] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", NAME, "--nocapture"])
                .envs(variables.clone())
                .output()
                .unwrap();
            let output = format!(
                "{}{}",
                String::from_utf8_lossy(&child.stdout),
                String::from_utf8_lossy(&child.stderr)
            );
            assert!(child.status.success() && output.contains("1 passed"), "with {variables:?}:\n{output}");
        }
    }
}

//! The part of a profile for each signal. In: the file. Out: fields with comments. No cluster.

use axum::http::Uri;

use super::commented::Commented;
use super::{Source, comment};
use crate::plan::meta::Component;
use crate::plan::pipeline::{JAEGER_THRIFT_HTTP, JAEGER_THRIFT_PATH, OTLP_GRPC, OTLP_HTTP};
use crate::profile::{Instrument, InstrumentType, LogFormat, SamplingPoint, TraceProtocol};
use crate::yaml::YamlError;

/// Jaeger's own gRPC, from before OTLP.
const JAEGER_GRPC: u16 = 14250;

pub(super) fn traces(out: &mut Commented, source: &Source<'_>, profile: &str) -> Result<(), YamlError> {
    let config = &source.file.config;
    out.section("traces", |out| {
        enabled(out, source, "telemetry.tracing.enabled", config.tracing_enabled)?;
        sampling(out, source)?;
        match &config.jaeger_endpoint {
            Some(endpoint) => protocols(out, source, endpoint, profile),
            None => Ok(()),
        }
    })
}

pub(super) fn metrics(out: &mut Commented, source: &Source<'_>) -> Result<(), YamlError> {
    let config = &source.file.config;
    out.section("metrics", |out| {
        enabled(out, source, "telemetry.metrics.prometheus_enabled", config.prometheus_enabled)?;
        if source.origin("telemetry.metrics.prometheus_port").is_some() {
            comment(out, source, "telemetry.metrics.prometheus_port", "");
            out.field("port", config.prometheus_port)?;
        }
        let custom = if config.custom_metrics {
            " = true: the application may have instruments of its own; name them under instruments to get panels for them"
        } else {
            " = false: the application has no instruments of its own"
        };
        comment(out, source, "telemetry.metrics.custom_metrics", custom);
        if !(config.enabled && config.prometheus_enabled) {
            return Ok(());
        }
        out.comment("Every application of the library has these.");
        out.field("instruments", instruments())
    })
}

pub(super) fn logs(out: &mut Commented, source: &Source<'_>) -> Result<(), YamlError> {
    let config = &source.file.config;
    out.section("logs", |out| {
        if config.enabled {
            out.comment("The file does not name a log store. With its OTLP/HTTP address as endpoint here, logs go there.");
        } else {
            comment(out, source, "telemetry.enabled", "");
        }
        out.field("enabled", config.enabled)?;
        if source.origin("telemetry.logging.structured_format").is_some() {
            comment(out, source, "telemetry.logging.structured_format", "");
            out.field("format", if config.structured_format { LogFormat::Json } else { LogFormat::Text })?;
        }
        let correlation = if config.correlation_enabled {
            " = true: log lines carry trace_id, and the Logs dashboard finds the trace of a line by it"
        } else {
            " = false: log lines carry no trace_id, and the Logs dashboard cannot find the trace of a line"
        };
        comment(out, source, "telemetry.logging.correlation_enabled", correlation);
        Ok(())
    })
}

/// Whether a signal is on, by its own key and by the one for all.
fn enabled(out: &mut Commented, source: &Source<'_>, key: &str, own: bool) -> Result<(), YamlError> {
    let all = source.file.config.enabled;
    if all {
        comment(out, source, key, "");
    } else {
        comment(out, source, "telemetry.enabled", "");
        comment(out, source, key, format!(" = {own} counts when telemetry is enabled again"));
    }
    out.field("enabled", all && own)
}

fn sampling(out: &mut Commented, source: &Source<'_>) -> Result<(), YamlError> {
    let key = "telemetry.sample_rate";
    let rate = source.file.config.sample_rate;
    if source.origin(key).is_none() {
        return Ok(());
    }
    if rate == 1.0 {
        comment(out, source, key, " = 1: every trace is kept, which is the default");
        return Ok(());
    }
    let ratio = ratio(rate);
    let rounded =
        if ratio == rate.to_string() { String::new() } else { format!(" = {rate}, at six decimals") };
    out.section("sampling", |out| {
        comment(out, source, key, rounded);
        out.comment(
            "The collector keeps this share, after it has counted every span: rates and latencies stay exact. The \
             application must then send them all: sample_rate = 1 there, or the variable \
             OTEL_TRACES_SAMPLER=parentbased_always_on. Otherwise the traces are thinned twice.",
        );
        out.field("ratio", &ratio)?;
        out.field("at", SamplingPoint::Collector)
    })
}

/// A share as the profile writes it, a decimal of at most six places. What is neither 0 nor 1 does not become so.
fn ratio(rate: f64) -> String {
    let text =
        format!("{:.6}", if rate > 0.0 && rate < 1.0 { rate.clamp(0.000_001, 0.999_999) } else { rate });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What the application speaks, and where its spans go from now on.
fn protocols(
    out: &mut Commented,
    source: &Source<'_>,
    endpoint: &str,
    profile: &str,
) -> Result<(), YamlError> {
    let key = "telemetry.tracing.jaeger_endpoint";
    let uri = endpoint.parse::<Uri>().unwrap_or_default();
    let (host, port, path) =
        (uri.host().unwrap_or_default(), uri.port_u16(), uri.path().trim_end_matches('/'));
    let thrift = path == JAEGER_THRIFT_PATH || (path.is_empty() && port == Some(JAEGER_THRIFT_HTTP));
    let collector = format!("http://{profile}-{}", Component::Collector.as_str());
    let otlp = format!("by OTLP to {collector}:{OTLP_GRPC}");
    let mut spoken = vec![TraceProtocol::Otlp];
    let what = if thrift {
        spoken.push(TraceProtocol::JaegerThriftHttp);
        format!(
            ": Jaeger's Thrift over HTTP. The collector takes it, and OTLP: let the application send to \
             {collector}:{JAEGER_THRIFT_HTTP}{JAEGER_THRIFT_PATH}, or better {otlp}."
        )
    } else if path.is_empty() && port == Some(JAEGER_GRPC) {
        format!(": Jaeger's old gRPC, which the collector does not take: let the application send {otlp}.")
    } else {
        format!(": let the application send {otlp}.")
    };
    comment(out, source, key, what);
    out.field("protocols", spoken)?;
    let otlp_port = port.filter(|_| !thrift && path.is_empty());
    if let Some(kept) = back_end(host, otlp_port).filter(|_| source.file.config.tracing_enabled) {
        out.comment(&format!(
            "The operator runs a Jaeger for the traces. To keep them at {host} instead, write here:"
        ));
        out.comment(&format!("endpoint: {kept}"));
    }
    Ok(())
}

/// The OTLP gRPC address at `host`, when it can be that of a back end which others reach, too.
fn back_end(host: &str, port: Option<u16>) -> Option<String> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let edges = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.ends_with(|c: char| c.is_ascii_alphanumeric());
    let here = host == "localhost" || host.starts_with("127.");
    let port = port.filter(|port| ![JAEGER_GRPC, OTLP_HTTP].contains(port)).unwrap_or(OTLP_GRPC);
    (edges && !here && host.chars().all(named)).then(|| format!("http://{host}:{port}"))
}

fn instruments() -> Vec<Instrument> {
    let instrument = |name: &str, kind, unit: &str, description: &str| Instrument {
        name: name.to_owned(),
        kind,
        unit: Some(unit.to_owned()),
        description: Some(description.to_owned()),
    };
    vec![
        instrument("trakt_exports_total", InstrumentType::Counter, "{export}", "Exports that came to an end"),
        instrument(
            "trakt_api_duration_seconds",
            InstrumentType::Histogram,
            "s",
            "Time that an API call takes",
        ),
        instrument(
            "trakt_cache_hit_ratio",
            InstrumentType::Gauge,
            "1",
            "Share of look-ups that the cache answers",
        ),
        instrument(
            "trakt_active_operations",
            InstrumentType::UpDownCounter,
            "{operation}",
            "Operations that are running",
        ),
    ]
}

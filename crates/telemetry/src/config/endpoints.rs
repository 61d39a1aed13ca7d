//! In: a configuration and the `OTEL_EXPORTER_OTLP_*` variables. Out: where spans and log records go, and by which protocol.
//! Pure.

use super::Resolved;
use super::variables::Variables;
use crate::endpoint::{Address, OtlpEndpoint, Protocol, Signal, masked};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

const COMPRESSION: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
];

/// The names of the variables of one signal: endpoint and protocol.
const fn names(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Traces => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
        Signal::Logs => ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"),
    }
}

/// Finds the endpoint of each signal that is on: its own variable's, else that of the variable for all, else the
/// configuration's. Nothing is sent anywhere that neither names.
pub(super) fn apply(resolved: &mut Resolved, logs_enabled: bool, variables: &mut Variables<'_>) {
    let mut bad = Vec::new();
    let base = address(ENDPOINT, variables, &mut bad);
    // The configuration has been checked.
    let configured = resolved.config.jaeger_endpoint.as_deref().and_then(|url| Address::parse(url).ok());
    let general = protocol(PROTOCOL, variables);
    let mut old_jaeger = None;
    for (signal, enabled) in [(Signal::Traces, resolved.config.tracing_enabled), (Signal::Logs, logs_enabled)]
    {
        let (endpoint_name, protocol_name) = names(signal);
        let own = address(endpoint_name, variables, &mut bad);
        if !enabled {
            continue;
        }
        let wanted = protocol(protocol_name, variables).or(general);
        let by_variable = own.is_some() || base.is_some();
        let endpoint = match (own, &base, &configured) {
            (Some(own), ..) => Some(own.exactly(agree(&own, wanted, variables))),
            (None, Some(base), _) => Some(base.base_of(signal, agree(base, wanted, variables))),
            (None, None, Some(old)) if old.is_old_jaeger() => of_old_jaeger(old, signal, wanted),
            (None, None, Some(address)) => Some(address.base_of(signal, agree(address, wanted, variables))),
            (None, None, None) => None,
        };
        match signal {
            Signal::Traces => {
                if let Some(spans) = endpoint.as_ref().filter(|_| by_variable) {
                    resolved.config.jaeger_endpoint = Some(spans.url.clone());
                }
                old_jaeger = configured.as_ref().filter(|address| !by_variable && address.is_old_jaeger());
                resolved.spans = endpoint;
            }
            Signal::Logs => resolved.logs = endpoint,
        }
    }
    if let (Some(old), Some(spans)) = (old_jaeger, &resolved.spans) {
        let no_logs = logs_enabled && resolved.logs.is_none();
        variables.notices.push(mapped(old, spans, no_logs));
    }
    for name in COMPRESSION {
        if let Some(value) = variables.word(name).filter(|value| value != "none") {
            let instead = "spans and log records are sent as they are";
            variables.left_out(name, &value, "compression is not supported", instead);
        }
    }
    let goes = |endpoint: &Option<OtlpEndpoint>| match endpoint {
        Some(endpoint) => format!("go to {}", endpoint.url),
        None => "are not sent".to_owned(),
    };
    let instead = format!("spans {}, log records {}", goes(&resolved.spans), goes(&resolved.logs));
    for (name, value, reason) in bad {
        variables.left_out(name, &masked(&value), &reason, &instead);
    }
}

fn address(
    name: &'static str,
    variables: &Variables<'_>,
    bad: &mut Vec<(&'static str, String, String)>,
) -> Option<Address> {
    let value = variables.get(name)?;
    Address::parse(&value).map_err(|reason| bad.push((name, value, reason))).ok()
}

/// The protocol that a variable names, and the variable.
type Wanted = Option<(&'static str, Protocol)>;

fn protocol(name: &'static str, variables: &mut Variables<'_>) -> Wanted {
    let value = variables.word(name)?;
    match [Protocol::Grpc, Protocol::HttpProtobuf].into_iter().find(|protocol| protocol.name() == value) {
        Some(protocol) => Some((name, protocol)),
        None => {
            let reason = "the protocols are grpc and http/protobuf";
            variables.left_out(
                name,
                &value,
                reason,
                "http/protobuf is used for port 4318 and with a path, otherwise grpc",
            );
            None
        }
    }
}

/// The protocol for an address: the wanted one, unless the address can only mean another.
fn agree(address: &Address, wanted: Wanted, variables: &mut Variables<'_>) -> Protocol {
    match wanted {
        Some((name, Protocol::Grpc)) if address.has_path() => {
            let reason = format!("{address} has a path, which gRPC does not take");
            let already = variables.notices.iter().any(|notice| notice.contains(&reason));
            if !already {
                variables.left_out(name, Protocol::Grpc.name(), &reason, "http/protobuf is used");
            }
            Protocol::HttpProtobuf
        }
        Some((_, protocol)) => protocol,
        None => address.guess(),
    }
}

/// Jaeger's old protocols are gone from the SDKs, but every Jaeger since 1.35 takes OTLP beside them. None keeps logs.
fn of_old_jaeger(old: &Address, signal: Signal, wanted: Wanted) -> Option<OtlpEndpoint> {
    let protocol = wanted.map_or(Protocol::Grpc, |(_, protocol)| protocol);
    (signal == Signal::Traces).then(|| old.otlp_neighbour(protocol).base_of(signal, protocol))
}

fn mapped(old: &Address, spans: &OtlpEndpoint, no_logs: bool) -> String {
    let logs = if no_logs { ", and log records are not sent, because a Jaeger keeps none" } else { "" };
    format!(
        "jaeger_endpoint {old} belongs to Jaeger's old protocols: spans go to {} over OTLP ({}) instead{logs}; write the \
         OTLP endpoint of a collector, as in http://127.0.0.1:4317, or of that Jaeger",
        spans.url,
        spans.protocol.name(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TelemetryConfig;

    /// Where spans and log records go, and all notices. Names of variables are written without `OTEL_EXPORTER_OTLP_`.
    fn resolve(endpoint: &str, variables: &str) -> (String, String, Vec<String>, Option<String>) {
        let config = TelemetryConfig {
            service_name: "app".to_owned(),
            jaeger_endpoint: Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty()),
            ..TelemetryConfig::default()
        };
        let variables: Vec<_> = variables.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        let lookup = |name: &str| {
            let known =
                |known: &str| name == known || name.strip_prefix("OTEL_EXPORTER_OTLP_") == Some(known);
            variables.iter().find(|(name, _)| known(name)).map(|(_, value)| (*value).to_owned())
        };
        let resolved = config.resolve(lookup).expect("the configuration is good");
        let shown = |endpoint: &Option<OtlpEndpoint>| match endpoint {
            Some(endpoint) => format!("{} {}", endpoint.protocol.name(), endpoint.url),
            None => "-".to_owned(),
        };
        (shown(&resolved.spans), shown(&resolved.logs), resolved.notices, resolved.config.jaeger_endpoint)
    }

    const GRPC: &str = "grpc http://file:4317";
    const SIDECAR: &str = "grpc http://127.0.0.1:4317";

    #[test]
    fn the_nearest_variable_decides_where_a_signal_goes() {
        let file = "http://file:4317";
        let http = |path: &str| format!("http/protobuf http://c:4318{path}");
        for (endpoint, variables, spans, logs) in [
            ("", "ENDPOINT=http://127.0.0.1:4317", SIDECAR, SIDECAR),
            (file, "ENDPOINT=http://127.0.0.1:4317", SIDECAR, SIDECAR),
            (file, "TRACES_ENDPOINT=http://127.0.0.1:4317", SIDECAR, GRPC),
            (file, "LOGS_ENDPOINT=http://127.0.0.1:4317", GRPC, SIDECAR),
            ("", "LOGS_ENDPOINT=http://127.0.0.1:4317", "-", SIDECAR),
            (
                file,
                "ENDPOINT=http://127.0.0.1:4317 TRACES_ENDPOINT=http://c:4318/spans",
                &http("/spans"),
                SIDECAR,
            ),
            (file, "ENDPOINT=http://c:4318", &http("/v1/traces"), &http("/v1/logs")),
            (file, "ENDPOINT=http://c:4318/otlp/", &http("/otlp/v1/traces"), &http("/otlp/v1/logs")),
            (file, "TRACES_ENDPOINT=http://c:4318", &http("/"), GRPC),
            ("http://c:4318/v1/traces", "", &http("/v1/traces"), &http("/v1/logs")),
            (
                file,
                "PROTOCOL=http/protobuf",
                "http/protobuf http://file:4317/v1/traces",
                "http/protobuf http://file:4317/v1/logs",
            ),
            (
                file,
                "PROTOCOL=HTTP/Protobuf LOGS_PROTOCOL=grpc",
                "http/protobuf http://file:4317/v1/traces",
                GRPC,
            ),
            ("http://c:4318", "PROTOCOL=grpc", "grpc http://c:4318", "grpc http://c:4318"),
            (file, "TRACES_PROTOCOL=http/protobuf", "http/protobuf http://file:4317/v1/traces", GRPC),
            ("http://jaeger:14268/api/traces", "ENDPOINT=http://127.0.0.1:4317", SIDECAR, SIDECAR),
        ] {
            let (got_spans, got_logs, notices, configured) = resolve(endpoint, variables);
            assert_eq!((got_spans.as_str(), got_logs.as_str()), (spans, logs), "{endpoint} {variables}");
            assert_eq!(notices, Vec::<String>::new(), "{endpoint} {variables}");
            if variables.contains("ENDPOINT=") && !variables.starts_with("LOGS") {
                assert_eq!(configured.as_deref(), spans.split(' ').nth(1), "{endpoint} {variables}");
            } else {
                assert_eq!(configured.unwrap_or_default(), endpoint, "{endpoint} {variables}");
            }
        }
    }

    #[test]
    fn an_unusable_variable_is_left_out_and_named() {
        let file = "http://file:4317";
        let to_file = "spans go to http://file:4317, log records go to http://file:4317";
        for (endpoint, variables, spans, logs, notice) in [
            (
                file,
                "ENDPOINT=http://me:secret@c:4317",
                GRPC,
                GRPC,
                format!(
                    "OTEL_EXPORTER_OTLP_ENDPOINT=http://***@c:4317 is left out: it contains a user or a password, which OTLP has \
                     no use for: remove them; {to_file}"
                ),
            ),
            (
                "",
                "ENDPOINT=c:4317",
                "-",
                "-",
                "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317 is left out: the scheme http:// is missing: write http://c:4317; spans are \
                 not sent, log records are not sent"
                    .to_owned(),
            ),
            (
                file,
                "ENDPOINT=http://127.0.0.1:4317 LOGS_ENDPOINT=http://:1",
                SIDECAR,
                SIDECAR,
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://:1 is left out: the host is missing: it must look like \
                 http://127.0.0.1:4317; spans go to http://127.0.0.1:4317, log records go to http://127.0.0.1:4317"
                    .to_owned(),
            ),
            (
                file,
                "TRACES_ENDPOINT=https://c:4317",
                GRPC,
                GRPC,
                format!(
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c:4317 is left out: TLS is not supported, only plaintext: let a \
                     collector on the same machine or in the same pod do TLS, and write its http:// address; {to_file}"
                ),
            ),
            (
                file,
                "PROTOCOL=http/json",
                GRPC,
                GRPC,
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/json is left out: the protocols are grpc and http/protobuf; http/protobuf is \
                 used for port 4318 and with a path, otherwise grpc"
                    .to_owned(),
            ),
            (
                file,
                "LOGS_COMPRESSION=gzip TRACES_COMPRESSION=none",
                GRPC,
                GRPC,
                "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION=gzip is left out: compression is not supported; spans and log records are \
                 sent as they are"
                    .to_owned(),
            ),
            (
                "http://c/otlp",
                "PROTOCOL=grpc",
                "http/protobuf http://c/otlp/v1/traces",
                "http/protobuf http://c/otlp/v1/logs",
                "OTEL_EXPORTER_OTLP_PROTOCOL=grpc is left out: http://c/otlp has a path, which gRPC does not take; http/protobuf \
                 is used"
                    .to_owned(),
            ),
        ] {
            let (got_spans, got_logs, notices, _) = resolve(endpoint, variables);
            assert_eq!((got_spans.as_str(), got_logs.as_str()), (spans, logs), "{endpoint} {variables}");
            assert_eq!(notices, [notice], "{endpoint} {variables}");
        }
    }

    #[test]
    fn an_old_jaeger_endpoint_becomes_otlp_on_the_same_host_with_one_notice() {
        let jaeger = "http://jaeger:14268/api/traces";
        let begin = format!("jaeger_endpoint {jaeger} belongs to Jaeger's old protocols: spans go to");
        let end = "; write the OTLP endpoint of a collector, as in http://127.0.0.1:4317, or of that Jaeger";
        let no_logs = ", and log records are not sent, because a Jaeger keeps none";
        for (variables, spans, logs, middle) in [
            (
                "",
                "grpc http://jaeger:4317",
                "-",
                format!("http://jaeger:4317 over OTLP (grpc) instead{no_logs}"),
            ),
            (
                "PROTOCOL=http/protobuf",
                "http/protobuf http://jaeger:4318/v1/traces",
                "-",
                format!("http://jaeger:4318/v1/traces over OTLP (http/protobuf) instead{no_logs}"),
            ),
            (
                "LOGS_ENDPOINT=http://127.0.0.1:4317",
                "grpc http://jaeger:4317",
                SIDECAR,
                "http://jaeger:4317 over OTLP (grpc) instead".to_owned(),
            ),
            (
                "OTEL_LOGS_EXPORTER=none",
                "grpc http://jaeger:4317",
                "-",
                "http://jaeger:4317 over OTLP (grpc) instead".to_owned(),
            ),
        ] {
            let (got_spans, got_logs, notices, configured) = resolve(jaeger, variables);
            assert_eq!((got_spans.as_str(), got_logs.as_str()), (spans, logs), "{variables}");
            assert_eq!(notices, [format!("{begin} {middle}{end}")], "{variables}");
            assert_eq!(configured.as_deref(), Some(jaeger));
        }
        let (spans, logs, notices, _) = resolve("http://[::1]:14250", "");
        assert_eq!((spans.as_str(), logs.as_str(), notices.len()), ("grpc http://[::1]:4317", "-", 1));
        let (spans, logs, notices, _) = resolve(jaeger, "OTEL_TRACES_EXPORTER=none");
        assert_eq!((spans.as_str(), logs.as_str(), notices), ("-", "-", Vec::new()));
    }
}

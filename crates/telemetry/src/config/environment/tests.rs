//! Every variable with good and bad values, and what is said about the bad ones.

use super::*;
use crate::config::ConfigError;
use crate::endpoint::OtlpEndpoint;

const FROM_FILE: &str = "http://file:4317";

fn config(endpoint: Option<&str>) -> TelemetryConfig {
    TelemetryConfig {
        service_name: "app".to_owned(),
        service_version: "1".to_owned(),
        environment: "test".to_owned(),
        sample_rate: 0.1,
        jaeger_endpoint: endpoint.map(str::to_owned),
        ..TelemetryConfig::default()
    }
}

/// Variables as `NAME=value` with blanks between them.
fn resolve(config: TelemetryConfig, variables: &str) -> Resolved {
    let variables: Vec<_> = variables.split(' ').filter_map(|pair| pair.split_once('=')).collect();
    let lookup =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    config.resolve(lookup).expect("the configuration is good")
}

fn shown(endpoint: Option<&OtlpEndpoint>) -> String {
    endpoint.map_or("-".to_owned(), |endpoint| format!("{} {}", endpoint.protocol.name(), endpoint.url))
}

#[test]
fn without_variables_the_configuration_counts() {
    let resolved = resolve(config(Some(FROM_FILE)), "");
    assert_eq!(resolved.config, config(Some(FROM_FILE)));
    assert_eq!(shown(resolved.spans.as_ref()), "grpc http://file:4317");
    assert_eq!(resolved.spans, resolved.logs);
    assert_eq!(format!("{:?}", resolved.sampler), "ParentBased(TraceIdRatioBased(0.1))");
    assert!(resolved.attributes.is_empty() && resolved.metrics_host.is_none());
    assert_eq!(resolved.notices, Vec::<String>::new());
    let resolved = resolve(config(None), "");
    assert_eq!((resolved.spans, resolved.logs), (None, None));
}

#[test]
fn an_empty_variable_counts_as_none() {
    let lookup = |_: &str| Some(" ".to_owned());
    let resolved = config(Some(FROM_FILE)).resolve(lookup).expect("the configuration is good");
    assert_eq!(resolved.config, config(Some(FROM_FILE)));
    assert_eq!(shown(resolved.logs.as_ref()), "grpc http://file:4317");
    assert_eq!(resolved.notices, Vec::<String>::new());
}

#[test]
fn values_given_in_code_are_checked_like_those_of_a_file() {
    let broken = TelemetryConfig {
        service_name: String::new(),
        environment: "a\nb".to_owned(),
        sample_rate: f64::NAN,
        jaeger_endpoint: Some("jaeger".to_owned()),
        prometheus_port: 0,
        ..TelemetryConfig::default()
    };
    let ConfigError { problems } = broken.resolve(|_| None).expect_err("it is broken");
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "telemetry.service_name: must not be empty: write the name of the application",
            "telemetry.environment: contains the control character '\\n': write plain text on one line",
            "telemetry.sample_rate: NaN is out of range: write a number from 0 to 1, the share of traces that are kept",
            "telemetry.tracing.jaeger_endpoint: the scheme http:// is missing: write http://jaeger",
        ]
    );
}

#[test]
fn variables_change_who_the_service_is() {
    let attributes = "OTEL_RESOURCE_ATTRIBUTES=service.name=b,service.version=2%2C3,deployment.environment=prod,k8s.pod.name=p";
    for (variables, identity, rest, notice) in [
        ("OTEL_SERVICE_NAME=a", ("a", "1", "test"), 0, None),
        (attributes, ("b", "2,3", "prod"), 1, None),
        (&format!("{attributes} OTEL_SERVICE_NAME=a"), ("a", "2,3", "prod"), 1, None),
        (
            "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=x,deployment.environment=y",
            ("app", "1", "x"),
            0,
            None,
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES=service.name=b,c",
            ("app", "1", "test"),
            0,
            Some(
                "OTEL_RESOURCE_ATTRIBUTES=service.name=b,c is left out: `c` has no =; no attribute is taken from it",
            ),
        ),
        (
            "OTEL_SERVICE_NAME=a\u{7}b",
            ("app", "1", "test"),
            0,
            Some(
                "OTEL_SERVICE_NAME=a\\u{7}b is left out: contains the control character '\\u{7}': write plain text on one \
                 line; the name is app",
            ),
        ),
    ] {
        let resolved = resolve(config(None), variables);
        let now = &resolved.config;
        let now = (now.service_name.as_str(), now.service_version.as_str(), now.environment.as_str());
        assert_eq!((now, resolved.attributes.len()), (identity, rest), "{variables}");
        assert_eq!(resolved.notices, notice.into_iter().collect::<Vec<_>>(), "{variables}");
    }
}

/// (variables, whether telemetry, spans, log records and metrics are on, notice)
#[test]
fn variables_turn_signals_on_and_off() {
    for (variables, on, notice) in [
        ("OTEL_SDK_DISABLED=TRUE", [false, false, false, true], ""),
        (
            "OTEL_SDK_DISABLED=true OTEL_TRACES_SAMPLER=xray OTEL_EXPORTER_OTLP_ENDPOINT=x",
            [false, false, false, true],
            "",
        ),
        ("OTEL_SDK_DISABLED=false", [true; 4], ""),
        (
            "OTEL_SDK_DISABLED=1",
            [true; 4],
            "OTEL_SDK_DISABLED=1 is left out: it is not true or false; telemetry stays as configured",
        ),
        ("OTEL_TRACES_EXPORTER=none", [true, false, true, true], ""),
        ("OTEL_TRACES_EXPORTER=OTLP", [true; 4], ""),
        (
            "OTEL_TRACES_EXPORTER=otlp,console",
            [true; 4],
            "OTEL_TRACES_EXPORTER=console is left out: spans go out over OTLP only; otlp is used",
        ),
        (
            "OTEL_TRACES_EXPORTER=jaeger",
            [true; 4],
            "OTEL_TRACES_EXPORTER=jaeger is left out: spans go out over OTLP only; it stays as configured",
        ),
        ("OTEL_LOGS_EXPORTER=none", [true, true, false, true], ""),
        ("OTEL_LOGS_EXPORTER=otlp", [true; 4], ""),
        (
            "OTEL_LOGS_EXPORTER=console",
            [true; 4],
            "OTEL_LOGS_EXPORTER=console is left out: log records go out over OTLP only; it stays as configured",
        ),
        ("OTEL_METRICS_EXPORTER=none", [true, true, true, false], ""),
        ("OTEL_METRICS_EXPORTER=prometheus", [true; 4], ""),
        (
            "OTEL_METRICS_EXPORTER=prometheus,otlp",
            [true; 4],
            "OTEL_METRICS_EXPORTER=otlp is left out: metrics are served for scraping only; prometheus is used",
        ),
        (
            "OTEL_METRICS_EXPORTER=otlp",
            [true; 4],
            "OTEL_METRICS_EXPORTER=otlp is left out: metrics are served for scraping only; it stays as configured",
        ),
    ] {
        let resolved = resolve(config(Some(FROM_FILE)), variables);
        let now = &resolved.config;
        let now = [now.enabled, resolved.spans.is_some(), resolved.logs.is_some(), now.prometheus_enabled];
        assert_eq!((now, resolved.notices.concat().as_str()), (on, notice), "{variables}");
    }
    let off =
        TelemetryConfig { tracing_enabled: false, prometheus_enabled: false, ..config(Some(FROM_FILE)) };
    let resolved = resolve(off.clone(), "");
    assert_eq!((resolved.spans, shown(resolved.logs.as_ref())), (None, "grpc http://file:4317".to_owned()));
    let resolved = resolve(off, "OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=prometheus");
    assert!(
        resolved.spans.is_some() && resolved.config.prometheus_enabled,
        "a variable goes before the file"
    );
}

#[test]
fn variables_move_the_metrics_endpoint() {
    for (variables, host, port, notice) in [
        ("OTEL_EXPORTER_PROMETHEUS_HOST=127.0.0.1", Some("127.0.0.1"), 8081, ""),
        (
            "OTEL_EXPORTER_PROMETHEUS_HOST=localhost OTEL_EXPORTER_PROMETHEUS_PORT=9464",
            Some("127.0.0.1"),
            9464,
            "",
        ),
        ("OTEL_EXPORTER_PROMETHEUS_HOST=[::1]", Some("::1"), 8081, ""),
        (
            "OTEL_EXPORTER_PROMETHEUS_HOST=pod",
            None,
            8081,
            "OTEL_EXPORTER_PROMETHEUS_HOST=pod is left out: it is neither an IP address nor localhost; /metrics is served on \
             all addresses",
        ),
        (
            "OTEL_EXPORTER_PROMETHEUS_PORT=0",
            None,
            8081,
            "OTEL_EXPORTER_PROMETHEUS_PORT=0 is left out: it is not a number from 1 to 65535; the port is 8081",
        ),
        (
            "OTEL_EXPORTER_PROMETHEUS_PORT=:9464",
            None,
            8081,
            "OTEL_EXPORTER_PROMETHEUS_PORT=:9464 is left out: it is not a number from 1 to 65535; the port is 8081",
        ),
    ] {
        let resolved = resolve(config(None), variables);
        let host = host.map(|host| host.parse().expect("an address"));
        assert_eq!((resolved.metrics_host, resolved.config.prometheus_port), (host, port), "{variables}");
        assert_eq!(resolved.notices.concat(), notice, "{variables}");
    }
}

#[test]
fn a_named_sampler_counts_instead_of_the_configured_share() {
    for (variables, sampler, rate, notice) in [
        ("OTEL_TRACES_SAMPLER=always_on", "AlwaysOn", 1.0, ""),
        ("OTEL_TRACES_SAMPLER=always_off", "AlwaysOff", 0.0, ""),
        ("OTEL_TRACES_SAMPLER=Parentbased_Always_On", "ParentBased(AlwaysOn)", 1.0, ""),
        ("OTEL_TRACES_SAMPLER=parentbased_always_off", "ParentBased(AlwaysOff)", 0.0, ""),
        ("OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.5", "TraceIdRatioBased(0.5)", 0.5, ""),
        (
            "OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0",
            "ParentBased(TraceIdRatioBased(0.0))",
            0.0,
            "",
        ),
        ("OTEL_TRACES_SAMPLER=parentbased_traceidratio", "ParentBased(TraceIdRatioBased(1.0))", 1.0, ""),
        ("OTEL_TRACES_SAMPLER=always_on OTEL_TRACES_SAMPLER_ARG=0.5", "AlwaysOn", 1.0, ""),
        (
            "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=1.5",
            "TraceIdRatioBased(1.0)",
            1.0,
            "OTEL_TRACES_SAMPLER_ARG=1.5 is left out: it is not a number from 0 to 1; all traces are kept",
        ),
        (
            "OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=nan",
            "ParentBased(TraceIdRatioBased(1.0))",
            1.0,
            "OTEL_TRACES_SAMPLER_ARG=nan is left out: it is not a number from 0 to 1; all traces are kept",
        ),
        (
            "OTEL_TRACES_SAMPLER=parentbased_jaeger_remote OTEL_TRACES_SAMPLER_ARG=x",
            "ParentBased(TraceIdRatioBased(0.1))",
            0.1,
            "OTEL_TRACES_SAMPLER=parentbased_jaeger_remote is left out: this sampler is not known here; sample_rate 0.1 is used",
        ),
        (
            "OTEL_TRACES_SAMPLER_ARG=0.5",
            "ParentBased(TraceIdRatioBased(0.1))",
            0.1,
            "OTEL_TRACES_SAMPLER_ARG=0.5 is left out: OTEL_TRACES_SAMPLER is not set; sample_rate 0.1 is used",
        ),
    ] {
        let resolved = resolve(config(None), variables);
        let now = (format!("{:?}", resolved.sampler), resolved.config.sample_rate);
        assert_eq!(now, (sampler.to_owned(), rate), "{variables}");
        assert_eq!(resolved.notices.concat(), notice, "{variables}");
    }
}

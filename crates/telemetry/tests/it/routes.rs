//! Where telemetry goes and how much of it: endpoints, protocols, the variables that go before the configuration, sampling.

use std::io::copy;
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::json;
use telemetry::{TelemetryConfig, TelemetryManager};

use crate::common::*;

/// One operation and one log line, in a process with these variables; what it wrote.
fn send(name: &str, variables: &[(&str, &str)]) -> Vec<serde_json::Value> {
    run_in_own_process(name, variables).json_lines()
}

/// The program of [`send`].
fn sending(config: TelemetryConfig, operations: usize) {
    block_on(async {
        let manager = TelemetryManager::new(config).unwrap();
        for number in 0..operations {
            let work = async {
                manager.logger().info("working", json!({"number": number}));
                Ok::<_, String>(())
            };
            manager.trace_operation("operation", work).await.unwrap();
        }
        manager.shutdown(PLENTY).await.unwrap();
    });
}

/// Nobody listens at port 1 of this address, which no other test uses.
const NOWHERE: &str = "http://127.0.0.99:1";

#[test]
fn an_endpoint_in_the_environment_wins_over_the_configuration() {
    const NAME: &str = "routes::an_endpoint_in_the_environment_wins_over_the_configuration";
    if is_own_process(NAME) {
        return sending(config("from-configuration", NOWHERE), 1);
    }
    let collector = &shared().collector;
    for (protocol, endpoint) in
        [("grpc", collector.grpc_endpoint()), ("http/protobuf", collector.http_endpoint())]
    {
        let service = format!("from-environment-{}", &protocol[..4]);
        let lines = send(
            NAME,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_SERVICE_NAME", &service),
                ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1,service.version=9.9"),
            ],
        );
        let spans = shared().spans(&service, 1);
        let span = named(&spans, "operation");
        assert_eq!(span.resource["k8s.pod.name"], "pod-1", "{span:#?}");
        assert_eq!(span.resource["service.version"], "9.9", "{span:#?}");
        assert_eq!((span.tag("service.name"), span.tag("service.version")), (service.as_str(), "9.9"));
        let records = shared().log_records(&service, 1);
        assert_eq!(records[0]["body"]["stringValue"], "working", "{records:#?}");
        assert_eq!(records[0]["severityText"], "INFO", "{records:#?}");
        assert_eq!(records[0]["traceId"], json!(span.trace), "{records:#?}");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert_eq!(lines[0]["trace_id"], json!(span.trace));
    }
}

/// Passes connections at `from` on to `to`, for as long as the process lives.
fn forward(from: &str, to: String) {
    let listener = TcpListener::bind(from).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(to.trim_start_matches("http://")).unwrap();
            let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut reader, mut writer) in pairs {
                thread::spawn(move || copy(&mut reader, &mut writer));
            }
        }
    });
}

#[test]
fn the_old_jaeger_endpoint_means_otlp_on_the_same_host() {
    const NAME: &str = "routes::the_old_jaeger_endpoint_means_otlp_on_the_same_host";
    // A loopback address of its own, so that OTLP's well-known port is free on it.
    const OLD: &str = "http://127.0.0.77:14268/api/traces";
    if is_own_process(NAME) {
        return sending(config("old-endpoint", OLD), 3);
    }
    forward("127.0.0.77:4317", shared().jaeger.otlp_endpoint().to_owned());
    let lines = send(NAME, &[]);
    assert_eq!(shared().spans("old-endpoint", 3).len(), 3);
    let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "one warning: {lines:#?}");
    let warning = warnings[0].to_string();
    assert!(warning.contains(OLD) && warning.contains("http://127.0.0.77:4317"), "{warning}");
    // A Jaeger takes no log records: none were sent, so none were refused.
    assert_eq!(lines.len(), 4, "{lines:#?}");
}

#[test]
fn the_sampler_of_the_environment_is_obeyed_instead_of_the_rate() {
    const NAME: &str = "routes::the_sampler_of_the_environment_is_obeyed_instead_of_the_rate";
    if is_own_process(NAME) {
        let service = variable("SERVICE");
        let config = TelemetryConfig { sample_rate: 0.1, ..config(&service, &variable("ENDPOINT")) };
        return sending(config, 1_000);
    }
    let endpoint = shared().collector.grpc_endpoint();
    let kept = |service: &str, variables: &[(&str, &str)], at_least: usize| {
        let mut all = vec![("SERVICE", service), ("ENDPOINT", endpoint.as_str())];
        all.extend_from_slice(variables);
        send(NAME, &all);
        shared().spans(service, at_least).len()
    };
    // 1,000 operations at 0.1: six standard deviations are 57.
    let by_rate = kept("sampled-by-rate", &[], 43);
    assert!((43..=157).contains(&by_rate), "{by_rate} of 1000");
    assert_eq!(kept("sampled-always", &[("OTEL_TRACES_SAMPLER", "parentbased_always_on")], 1_000), 1_000);
    // Thinned once, by the variable: not to 0.1 of 0.5.
    let half = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
    let by_half = kept("sampled-half", &half, 405);
    assert!((405..=595).contains(&by_half), "{by_half} of 1000");
    assert_eq!(kept("sampled-never", &[("OTEL_TRACES_SAMPLER", "always_off")], 0), 0);
}

/// A program without spans of its own does not end the traces of those who call it.
#[test]
fn a_program_that_sends_no_spans_passes_the_callers_trace_on() {
    let silent = TelemetryConfig { jaeger_endpoint: None, ..config("silent", "") };
    let manager = TelemetryManager::new(silent).unwrap();
    let onward = |traceparent: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("traceparent", traceparent.parse().unwrap());
        let call = manager.trace_operation("pass on", async {
            let mut onward = http::HeaderMap::new();
            telemetry::inject_headers(&mut onward);
            Ok::<_, String>(onward)
        });
        let onward = block_on(telemetry::extract_headers(&headers).run(call)).unwrap();
        onward["traceparent"].to_str().unwrap().to_owned()
    };
    let trace = "00-0af7651916cd43dd8448eb211c80319c";
    for flags in ["01", "00"] {
        let sent = onward(&format!("{trace}-b7ad6b7169203331-{flags}"));
        assert!(sent.starts_with(trace) && sent.ends_with(&format!("-{flags}")), "{sent}");
    }
}

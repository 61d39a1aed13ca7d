//! Spans and log records at real receivers, and what happens while there is none. Talks on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry::{KeyValue, trace};
use serde_json::{Value, json};
use testbed::Jaeger;

use super::*;
use crate::CorrelationId;
use crate::fixture::{ClosedPort, Collector, HEADER, Ports, Program, in_own_process, waited};

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];
/// Batches that come quickly, and requests that give up quickly, but not on a machine that is merely busy.
const QUICK: [(&str, &str); 3] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "50"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
];

fn program(ports: Ports, protocol: Protocol) -> Program {
    Program::start(&ports.endpoint(protocol, "traces"), &ports.endpoint(protocol, "logs"))
}

/// The test `export::tests::name::grpc` or `…::http`, whole.
fn named(name: &str, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Grpc => "grpc",
        Protocol::HttpProtobuf => "http",
    };
    format!("export::tests::{name}_over_{protocol}")
}

fn arrives(protocol: Protocol) {
    let headers = format!("{HEADER}=blue");
    let environment = [("OTEL_EXPORTER_OTLP_HEADERS", headers.as_str())];
    in_own_process(&named("everything_arrives", protocol), &environment, || {
        let ports = Ports::free();
        let collector = Collector::start(ports);
        let program = program(ports, protocol);
        let id = CorrelationId::parse("order-7").unwrap();
        id.sync_scope(|| program.work("export.done"));
        program.flush();
        assert_eq!((program.count("delivered"), program.count("failed")), ([1, 1], [0, 0]));

        collector.wait_for("Span #0");
        let log = collector.wait_for("LogRecord #0");
        let line = program.lines.json().into_iter().find(|line| line["message"] == "export.done").unwrap();
        let id = |name: &str| line[name].as_str().unwrap().to_owned();
        let (trace_id, span_id) = (id("trace_id"), id("span_id"));
        for wanted in [
            "InstrumentationScope fixture",
            "SeverityText: INFO",
            "SeverityNumber: Info(9)",
            "Body: Str(export.done)",
            "-> films: Int(3)",
            r#"-> nested: Map({"list":[1,true]})"#,
            "-> correlation_id: Str(order-7)",
            &format!("Trace ID: {trace_id}\nSpan ID: {span_id}\nFlags: 1"),
            "-> service.name: Str(fixture)",
            "Name           : work",
            &format!("Trace ID       : {trace_id}"),
        ] {
            assert!(log.contains(wanted), "`{wanted}` is not in:\n{log}");
        }
        let from_header = log.matches("-> from_header: Str(blue)").count();
        assert_eq!(from_header, 2, "the header did not come with both signals:\n{log}");
    });
}

#[test]
fn everything_arrives_over_grpc() {
    arrives(Protocol::Grpc);
}

#[test]
fn everything_arrives_over_http() {
    arrives(Protocol::HttpProtobuf);
}

/// Nobody listens; somebody listens and never answers; a collector comes; it goes; it comes back.
fn outages(protocol: Protocol) {
    in_own_process(&named("an_outage_ends_by_itself", protocol), &QUICK, || {
        let ports = Ports::free();
        let program = program(ports, protocol);
        let wait_for = |what: &str, result: &str| {
            let before = program.count(result);
            let seen = || format!("{:?}, before {before:?}\n{:#?}", program.count(result), program.reports());
            waited(what, seen, || {
                program.work("export.step");
                program.count(result).iter().zip(before).all(|(now, before)| *now > before)
            });
        };
        wait_for("losses at a closed port", "failed");
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.of(protocol))).unwrap();
        wait_for("losses at a port that never answers", "failed");
        wait_for("more of them", "failed");
        drop(mute);
        let collector = Collector::start(ports);
        wait_for("deliveries to a collector that was not there before", "delivered");
        drop(collector);
        wait_for("losses after the collector's end", "failed");
        let collector = Collector::start(ports);
        wait_for("deliveries to a collector that came back", "delivered");
        program.work("export.last");
        collector.wait_for("Body: Str(export.last)");

        let reports = program.reports();
        for what in ["spans", "log records"] {
            let of_signal = reports.iter().filter(|(_, message)| message.contains(what));
            let levels: Vec<_> = of_signal.map(|(level, _)| level.as_str()).collect();
            assert_eq!(levels, ["WARN", "INFO", "WARN", "INFO"], "{what}: {reports:#?}");
        }
        program.flush();
        let lines = program.lines.json();
        for (what, failed) in ["spans", "log_records"].into_iter().zip(program.count("failed")) {
            let reported: u64 = lines.iter().filter_map(|line| line[what].as_u64()).sum();
            assert_eq!(reported, failed, "{what}: not every loss is in a line");
        }
        let made = lines.iter().filter(|line| line["target"] == "fixture").count() as u64;
        let [spans, log_records] =
            [0, 1].map(|signal| program.count("failed")[signal] + program.count("delivered")[signal]);
        assert_eq!(spans, made);
        // No log record is made of the failure to send log records.
        assert_eq!(log_records, made);
    });
}

#[test]
fn an_outage_ends_by_itself_over_grpc() {
    outages(Protocol::Grpc);
}

#[test]
fn an_outage_ends_by_itself_over_http() {
    outages(Protocol::HttpProtobuf);
}

#[test]
fn an_endpoint_that_never_answers_holds_up_a_batch_for_the_time_out_of_the_environment() {
    const NAME: &str = "export::tests::\
         an_endpoint_that_never_answers_holds_up_a_batch_for_the_time_out_of_the_environment";
    let environment = [("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "400")];
    in_own_process(NAME, &environment, || {
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", mute.local_addr().unwrap());
        let background = crate::runtime::Background::start().unwrap();
        let counters = ExportCounters::register(&prometheus::Registry::new()).unwrap();
        for protocol in BOTH {
            let endpoint = OtlpEndpoint { url: url.clone(), protocol };
            let exporter = span_exporter(&endpoint, &counters, background.handle()).unwrap();
            let tracers =
                opentelemetry_sdk::trace::SdkTracerProvider::builder().with_batch_exporter(exporter).build();
            tracers.tracer("fixture").in_span("work", |_| ());
            let started = Instant::now();
            let result = tracers.force_flush();
            let elapsed = started.elapsed();
            assert!(result.is_err(), "it was delivered");
            let wanted = Duration::from_millis(350)..Duration::from_secs(3);
            assert!(wanted.contains(&elapsed), "{protocol:?}: {elapsed:?}, {result:?}");
        }
        assert_eq!(counters.failed(Signal::Spans), 2);
    });
}

#[test]
fn the_time_out_of_the_signal_goes_before_that_of_all_signals() {
    let of = |variables: &[(&str, &str)], signal| {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        timeout(signal, lookup).as_millis()
    };
    let all = ("OTEL_EXPORTER_OTLP_TIMEOUT", "700");
    let logs = ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "900");
    assert_eq!(of(&[], Signal::Spans), 5000);
    assert_eq!(of(&[all, logs], Signal::Spans), 700);
    assert_eq!(of(&[all, logs], Signal::LogRecords), 900);
    for unusable in ["0", "5s", ""] {
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_TIMEOUT", unusable)], Signal::Spans), 5000, "{unusable}");
    }
}

#[test]
fn a_jaeger_takes_the_spans_and_the_missing_place_for_logs_is_named_once() {
    const NAME: &str = "export::tests::a_jaeger_takes_the_spans_and_the_missing_place_for_logs_is_named_once";
    in_own_process(NAME, &QUICK, || {
        let jaeger = Jaeger::start().unwrap();
        let endpoint = OtlpEndpoint { url: jaeger.otlp_endpoint().to_owned(), protocol: Protocol::Grpc };
        let program = Program::start(&endpoint, &endpoint);
        for _ in 0..3 {
            program.work("export.step");
            program.flush();
        }
        assert_eq!(program.count("delivered"), [3, 0]);
        assert_eq!(program.count("failed"), [0, 0]);
        assert_eq!(program.count("unsupported"), [0, 3]);
        let reports = program.reports();
        assert!(reports.len() == 1 && reports[0].1.contains("a Jaeger stores traces only"), "{reports:#?}");
    });
}

#[test]
fn a_path_without_a_receiver_is_told_from_an_outage_over_http() {
    const NAME: &str = "export::tests::a_path_without_a_receiver_is_told_from_an_outage_over_http";
    in_own_process(NAME, &QUICK, || {
        let ports = Ports::free();
        let _collector = Collector::start(ports);
        let nowhere = ports.endpoint(Protocol::HttpProtobuf, "nowhere");
        let program = Program::start(&ports.endpoint(Protocol::HttpProtobuf, "traces"), &nowhere);
        program.work("export.step");
        program.flush();
        assert_eq!((program.count("delivered"), program.count("unsupported")), ([1, 0], [0, 1]));
    });
}

/// A receiver of gRPC refuses what is larger than 4 MiB, whole.
#[test]
fn large_batches_are_sent_in_parts_and_what_is_too_large_fails_alone() {
    const NAME: &str = "export::tests::large_batches_are_sent_in_parts_and_what_is_too_large_fails_alone";
    in_own_process(NAME, &[], || {
        let ports = Ports::free();
        let _collector = Collector::start(ports);
        let program = program(ports, Protocol::Grpc);
        let tracer = program.tracers.tracer("fixture");
        let text = "x".repeat(100 << 10);
        let text_of = |number| if number == 50 { "x".repeat(5 << 20) } else { text.clone() };
        for number in 0..100 {
            program.logger.info("large", json!({"text": text}));
            let attributes = vec![KeyValue::new("text", text_of(number))];
            trace::Span::end(&mut tracer.span_builder("large").with_attributes(attributes).start(&tracer));
        }
        program.flush();
        assert_eq!((program.count("delivered"), program.count("failed")), ([99, 100], [1, 0]));
        let lines = program.lines.json();
        let lost = lines.iter().find(|line| line["level"] == "WARN").expect("no warning");
        assert_eq!((&lost["spans"], lost["log_records"].is_null()), (&json!(1), true), "{lost}");
        assert!(lost["error"].as_str().unwrap().contains("code: "), "{lost}");
    });
}

/// The resident memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() >> 10
}

#[test]
fn memory_stays_bounded_and_work_goes_on_while_nobody_answers() {
    const NAME: &str = "export::tests::memory_stays_bounded_and_work_goes_on_while_nobody_answers";
    in_own_process(NAME, &QUICK[..2], || {
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", mute.local_addr().unwrap());
        let endpoint = OtlpEndpoint { url, protocol: Protocol::Grpc };
        let program = Program::start_forgetful(&endpoint, &endpoint);
        let tracer = program.tracers.tracer("fixture");
        let data = json!({"text": "x".repeat(50 << 10)});
        let (before, started) = (resident(), Instant::now());
        for _ in 0..5_000 {
            program.logger.info("large", data.clone());
            let attributes = vec![KeyValue::new("text", "x".repeat(10 << 10))];
            trace::Span::end(&mut tracer.span_builder("large").with_attributes(attributes).start(&tracer));
        }
        let grown = resident() - before;
        println!("5000 records and spans took {:?} and {grown} MiB", started.elapsed());
        // Two full queues and a batch of each are 120 MiB; without bounds it would be more than 200.
        assert!(grown < 165, "{grown} MiB more");
    });
}

#[test]
fn an_error_names_its_cause_over_both_protocols() {
    const NAME: &str = "export::tests::an_error_names_its_cause_over_both_protocols";
    in_own_process(NAME, &QUICK, || {
        let closed = ClosedPort::reserve();
        let of = |protocol| OtlpEndpoint { url: closed.endpoint(), protocol };
        let program = Program::start(&of(Protocol::Grpc), &of(Protocol::HttpProtobuf));
        program.work("export.step");
        program.flush();
        let lines = program.lines.json();
        let warnings: Vec<&Value> = lines.iter().filter(|line| line["level"] == "WARN").collect();
        assert_eq!(warnings.len(), 2, "{lines:#?}");
        for warning in warnings {
            assert!(warning["error"].as_str().unwrap().contains("Connection refused"), "{warning}");
        }
    });
}

#[test]
fn the_end_of_the_background_is_no_outage_also_while_a_batch_is_on_its_way() {
    const NAME: &str =
        "export::tests::the_end_of_the_background_is_no_outage_also_while_a_batch_is_on_its_way";
    in_own_process(NAME, &QUICK[..2], || {
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", mute.local_addr().unwrap());
        let of = |protocol| OtlpEndpoint { url: url.clone(), protocol };
        let program = Program::start(&of(Protocol::Grpc), &of(Protocol::HttpProtobuf));
        program.work("on its way");
        let connections = [mute.accept().unwrap(), mute.accept().unwrap()];
        assert!(program.background.stop(Duration::from_secs(20)), "the background does not end");
        let seen = || format!("{:?}", program.count("failed"));
        waited("the loss of what was on its way", seen, || program.count("failed") == [1, 1]);
        program.work("after the end");
        program.flush();
        assert_eq!(program.count("failed"), [2, 2]);
        assert_eq!(program.reports(), []);
        drop(connections);
    });
}

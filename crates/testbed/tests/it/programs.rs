//! The other programs: the collector is what its manifest says, Jaeger gives back what it was sent, promtool checks.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::{
    Daemon, Directory, Jaeger, NodeTools, Part, Readiness, free_ports, http_get, output, wait_until,
};

use crate::DEADLINE;

const MANIFEST: &str = include_str!("../../../../collector/builder.yaml");

fn collector(args: &[&str]) -> Command {
    let mut command = Command::new(testbed::path(Part::Collector).unwrap());
    command.args(args);
    command
}

#[test]
fn the_collector_has_exactly_the_components_of_its_manifest() {
    let manifest: Value = serde_yaml::from_str(MANIFEST).unwrap();
    let built: Value = serde_yaml::from_str(&output(&mut collector(&["components"])).unwrap()).unwrap();
    assert_eq!(built["buildinfo"]["version"], manifest["dist"]["version"]);
    let listed = |list: &Value, key: &str| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    };
    for kind in ["extensions", "receivers", "processors", "exporters", "connectors"] {
        let wanted = listed(&manifest[kind], "gomod");
        assert!(!wanted.is_empty(), "{kind}");
        assert_eq!(listed(&built[kind], "module"), wanted, "{kind}");
    }
}

#[test]
fn the_collector_validates_configurations() {
    let directory = Directory::create("collector").unwrap();
    let file = directory.path().join("config.json");
    let validate = |exporter: &str| {
        let config = json!({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}}}},
            "processors": {"memory_limiter": {"check_interval": "1s", "limit_mib": 100}, "batch": {}},
            "exporters": {exporter: {}},
            "service": {"pipelines": {"traces": {
                "receivers": ["otlp"], "processors": ["memory_limiter", "batch"], "exporters": [exporter]}}},
        });
        fs::write(&file, config.to_string()).unwrap();
        output(collector(&["validate", "--config"]).arg(&file))
    };
    validate("debug").unwrap();
    let error = validate("kafka").unwrap_err().to_string();
    assert!(error.contains(r#"unknown type: "kafka""#), "{error}");
}

#[test]
fn a_span_goes_through_the_collector_to_jaeger_and_comes_back() {
    let jaeger = Jaeger::start().unwrap();
    let directory = Directory::create("collector").unwrap();
    let [port] = free_ports().unwrap();
    let config = json!({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{port}")}}}},
        "exporters": {"otlp_grpc": {"endpoint": jaeger.otlp_endpoint(), "tls": {"insecure": true}}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp_grpc"]}}},
    });
    let file = directory.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let mut command = collector(&["--config"]);
    command.arg(&file);
    let mut listening = || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok());
    let readiness = Readiness::When { what: "an open OTLP port", deadline: DEADLINE, check: &mut listening };
    let _collector = Daemon::start("collector", command, &directory.path().join("log"), readiness).unwrap();

    let span = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "reconcile",
        "kind": 1, "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000250000000"});
    let service = json!([{"key": "service.name", "value": {"stringValue": "testbed"}}]);
    let spans =
        json!({"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": [span]}]}]});
    assert_eq!(post(port, "/v1/traces", &spans.to_string()), 200);

    let url = format!("{}/api/traces/0af7651916cd43dd8448eb211c80319c", jaeger.query_url());
    let trace = wait_until("the span in Jaeger", DEADLINE, || {
        let (status, body) = http_get(&url)?;
        anyhow::ensure!(status == 200, "{status} {body}");
        Ok(Some(serde_json::from_str::<Value>(&body)?))
    })
    .unwrap();
    let read = &trace["data"][0]["spans"][0];
    assert_eq!(
        (&read["operationName"], &read["duration"]),
        (&json!("reconcile"), &json!(250_000)),
        "{trace:#}"
    );
    jaeger.stop().unwrap();
}

fn post(port: u16, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn promtool_tells_a_right_rule_from_a_wrong_one() {
    let promtool = testbed::path(Part::Promtool).unwrap();
    let version = output(Command::new(&promtool).arg("--version")).unwrap();
    assert!(version.starts_with("promtool, version 3.5.0"), "{version}");
    let directory = Directory::create("promtool").unwrap();
    let check = |expression: &str| {
        let rules = json!({"groups": [{"name": "slo", "rules": [{"record": "a:b", "expr": expression}]}]});
        let file = directory.path().join("rules.json");
        fs::write(&file, rules.to_string()).unwrap();
        output(Command::new(&promtool).args(["check", "rules"]).arg(file))
    };
    check("sum(rate(requests_total[5m]))").unwrap();
    let error = check("sum(rate(requests_total[5m])").unwrap_err().to_string();
    assert!(error.contains("unclosed left parenthesis"), "{error}");
}

#[test]
fn prometheus_becomes_ready() {
    let directory = Directory::create("prometheus").unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("prometheus.yaml"), "{}").unwrap();
    let [port] = free_ports().unwrap();
    let mut command = Command::new(testbed::path(Part::Prometheus).unwrap());
    command.arg("--config.file").arg(at("prometheus.yaml")).arg("--storage.tsdb.path").arg(at("data"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let url = format!("http://127.0.0.1:{port}/-/ready");
    let readiness = Readiness::Http { url, deadline: DEADLINE };
    let mut prometheus = Daemon::start("prometheus", command, &at("log"), readiness).unwrap();
    assert!(prometheus.terminate().unwrap().success());
}

#[test]
fn the_tools_of_a_node_find_their_libraries() {
    let tools = NodeTools::get().unwrap();
    let run = |program: &Path| {
        let mut command = Command::new(program);
        output(command.envs(tools.environment().unwrap()).arg("--version").env("CNI_COMMAND", "VERSION"))
            .unwrap()
    };
    assert!(run(&tools.runc()).starts_with("runc version"));
    assert!(run(Path::new("nft")).starts_with("nftables v"));
    for plugin in ["bridge", "host-local", "loopback"] {
        assert!(run(&tools.cni_bin_dir().join(plugin)).contains("cniVersion"), "{plugin}");
    }
}

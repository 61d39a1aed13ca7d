//! The real collector on generated configurations: it accepts every one, its table of components is the one that plans
//! are checked against, and one that runs makes exact span metrics of everything it receives, samples once behind them,
//! and opens no port beyond those of its Service and its health.

mod logs;
mod running;
mod sidecar;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml::Value;
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::plan::components::{self, Class};
use telemetry_operator::plan::pipeline::{SPAN_METRICS_CALLS, SPAN_METRICS_DURATION};
use telemetry_operator::profile::{TelemetryProfile, TelemetryProfileSpec};
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::{Directory, Part, wait_until};

use running::{LogStore, Running};

const DEADLINE: Duration = Duration::from_secs(60);
/// What the names of the collector's metrics about itself start with.
const PREFIX: &[u8] = b"otelcol_";

/// Specs that switch each feature, behind selector and service.
const TABLE: [&str; 17] = [
    "",
    "traces: {sampling: {ratio: '0.1'}}",
    "traces: {sampling: {ratio: '0'}}",
    "traces: {sampling: {ratio: '0.000001'}}",
    "traces: {sampling: {ratio: '0.1', at: Application}}",
    "traces: {protocols: [OTLP, JaegerThriftHTTP]}",
    "traces: {protocols: [JaegerThriftHTTP]}",
    "traces: {protocols: [JaegerThriftHTTP]}\nmetrics: {enabled: false}",
    "traces: {jaeger: {storage: Badger}}\nmetrics: {prometheus: Managed, interval: 5s}",
    "traces: {endpoint: 'http://tempo.monitoring:4317'}\nlogs: {endpoint: 'http://loki.monitoring:3100/otlp'}",
    "traces: {endpoint: 'https://otlp.example.com:443', sampling: {ratio: '0.5'}}\nmetrics: {enabled: false}",
    "traces: {enabled: false}",
    "traces: {enabled: false}\nmetrics: {enabled: false}\nlogs: {endpoint: 'https://loki.example.com/otlp'}",
    "logs: {enabled: false, endpoint: 'http://loki:3100/otlp'}",
    "collector: {resources: {limits: {memory: 32Mi}}}",
    "collector: {resources: {limits: {memory: 64Gi}}}",
    "slos: [{name: fast, objective: '99', latency: {histogram: traces_span_metrics_duration_seconds, threshold: '0.35'}}]",
];

/// `collector.yaml` as the operator plans it; none when the profile needs no collector.
fn planned(profile: &TelemetryProfile) -> Option<String> {
    let profile = validate(profile, &Observed::default(), &Settings::default()).expect("a valid profile");
    let children = plan::collector::plan(&profile).expect("a plan");
    let config_map = children.iter().find(|child| child.kind == ChildKind::ConfigMap)?;
    Some(config_map.body["data"]["collector.yaml"].as_str().expect("a file").to_owned())
}

/// A profile named `trakt` of this service, with `rest` as further fields of its spec.
fn profile(service: &str, rest: &str) -> TelemetryProfile {
    let spec = format!(
        "selector: {{matchLabels: {{app: trakt}}}}\nservice: {{name: x, version: '1.0', environment: 'on'}}\n{rest}"
    );
    let mut spec: TelemetryProfileSpec = serde_yaml::from_str(&spec).expect("a spec");
    spec.service.name = service.to_owned();
    let mut profile = TelemetryProfile::new("trakt", spec);
    profile.metadata.namespace = Some("media".to_owned());
    profile
}

/// Every profile in the repository's examples.
fn examples() -> Vec<TelemetryProfile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("an example"));
    texts
        .flat_map(|text| {
            let documents = serde_yaml::Deserializer::from_str(&text);
            documents.map(|document| Value::deserialize(document).expect("YAML")).collect::<Vec<_>>()
        })
        .filter(|document| document.get("kind").is_some_and(|kind| kind == "TelemetryProfile"))
        .map(|document| serde_yaml::from_value(document).expect("a profile"))
        .collect()
}

#[test]
fn the_collector_accepts_every_configuration() {
    let directory = Directory::create("collector-validate").expect("a directory");
    let file = directory.path().join("collector.yaml");
    let binary = testbed::path(Part::Collector).expect("the collector");
    let table = TABLE.iter().map(|spec| profile("on", spec)).chain(examples());
    for profile in table {
        let Some(text) = planned(&profile) else { continue };
        fs::write(&file, &text).expect("the configuration is written");
        let mut command = Command::new(&binary);
        command.arg("validate").arg(format!("--config={}", file.display()));
        if let Err(error) = testbed::output(&mut command) {
            panic!("the collector refuses the configuration of {:?}: {error:#}\n{text}", profile.spec);
        }
    }
}

/// The table of components is right when the collector that is built from it says the same.
#[test]
fn the_table_of_components_is_the_collectors() {
    let mut command = Command::new(testbed::path(Part::Collector).expect("the collector"));
    let text = testbed::output(command.arg("components")).expect("its components");
    let real: BTreeMap<String, Value> = serde_yaml::from_str(&text).expect("YAML");
    let mut found = 0;
    for class in [Class::Receiver, Class::Processor, Class::Exporter, Class::Connector, Class::Extension] {
        for component in real[&format!("{}s", class.as_str())].as_sequence().expect("a list") {
            let name = component["name"].as_str().expect("a name");
            components::check("built-from-the-table", [(class, name)]).expect("it is in the table");
            found += 1;
        }
    }
    let builder = include_str!("../../collector/builder.yaml");
    assert_eq!(found, builder.matches("gomod:").count(), "{text}");
}

#[test]
fn a_running_collector_counts_every_span_samples_once_and_opens_only_its_ports() {
    // No user could write this name; the collector must not read anything into it all the same.
    let service = "tr$akt $${env:HOME}";
    let store = LogStore::start();
    let logs = format!("logs: {{endpoint: 'http://{}/otlp'}}", store.address);
    let latency = format!("{{histogram: {SPAN_METRICS_DURATION}, threshold: '0.35'}}");
    let slo = format!("slos: [{{name: fast, objective: '99', latency: {latency}}}]");
    let traces = "traces: {sampling: {ratio: '0.25'}, protocols: [OTLP, JaegerThriftHTTP]}";
    let spec = format!("{traces}\n{logs}\n{slo}");
    let directory = Directory::create("collector-run").expect("a directory");
    // The back end is a collector as well: its span metrics tell how many spans have reached it.
    let back_end = Running::start(
        "back-end",
        &planned(&profile(service, "")).expect("a file"),
        "127.0.0.1:9",
        &directory,
    );
    let front = planned(&profile(service, &spec)).expect("a file");
    let front = Running::start("front", &front, &back_end.otlp_grpc(), &directory);

    let ids: Vec<u128> = (0..1000).map(telemetry::trace_id).collect();
    for (pod, ids) in ids.chunks(100).enumerate() {
        front.post("/v1/traces", &telemetry::spans(ids, pod % 3));
    }
    let sampled = ids.iter().filter(|id| telemetry::is_sampled(**id, 0.25)).count();
    assert!((150..350).contains(&sampled), "{sampled} of 1000 ids are in a quarter of their range");

    let counted = front.wait_for(SPAN_METRICS_CALLS, &[], 1000.0);
    assert_eq!(counted.len(), 2, "one series for each status: {counted:#?}");
    for sample in &counted {
        assert_eq!(sample.labels["service_name"], service);
        assert_eq!(sample.labels["span_name"], "GET /export");
        assert_eq!(sample.labels["span_kind"], "SPAN_KIND_SERVER");
        for label in ["job", "instance", "collector_instance_id", "host_name"] {
            assert!(!sample.labels.contains_key(label), "{sample:?}");
        }
    }
    front.wait_for(SPAN_METRICS_CALLS, &[("status_code", "STATUS_CODE_ERROR")], 100.0);
    let bucket = format!("{SPAN_METRICS_DURATION}_bucket");
    front.wait_for(&bucket, &[("le", "0.25")], 0.0);
    // The threshold of the SLO is a bound; the fixed set has none between 0.25 and 0.5.
    front.wait_for(&bucket, &[("le", "0.35")], 1000.0);
    front.wait_for(&format!("{SPAN_METRICS_DURATION}_count"), &[], 1000.0);
    front.wait_for(&format!("{SPAN_METRICS_DURATION}_sum"), &[], 300.0);

    // The sampler tells by the trace state that each span stands for four, and so the back end counts it.
    back_end.wait_for(SPAN_METRICS_CALLS, &[], 4.0 * sampled as f64);
    // An exemplar is there until the next flush only.
    wait_until("an exemplar with the trace's id", DEADLINE, || {
        back_end.post("/v1/traces", &telemetry::spans(&ids[..1], 0));
        Ok(back_end.open_metrics().contains(&format!("# {{trace_id=\"{:032x}\"", ids[0])).then_some(()))
    })
    .unwrap();

    let own = front.wait_for_own("otelcol_receiver_accepted_spans_total", &[("receiver", "otlp")], 1000.0);
    assert!(own[0].labels.keys().eq(["receiver", "transport"]), "{own:?}");
    front.wait_for_own("otelcol_receiver_refused_spans_total", &[("receiver", "otlp")], 0.0);
    front.wait_for_own("otelcol_exporter_queue_size", &[("exporter", "otlp_grpc")], 0.0);

    front.post_thrift(&testbed::thrift_span("old client").unwrap());
    front.wait_for(SPAN_METRICS_CALLS, &[("span_name", "old client")], 1.0);

    front.post("/v1/metrics", &telemetry::counter());
    let pushed = front.wait_for("export_items_total", &[], 7.0);
    assert_eq!(pushed[0].labels["job"], service);
    let target = front.wait_for("target_info", &[], 1.0);
    assert_eq!(target[0].labels["service_version"], "1.0");
    assert_eq!(target[0].labels["deployment_environment_name"], "on");
    assert_eq!(target[0].labels["deployment_environment"], "on");

    front.post("/v1/logs", &telemetry::log_record());
    assert_eq!(store.request(DEADLINE), "POST /otlp/v1/logs HTTP/1.1");

    assert_eq!(front.listening(), front.ports());
    assert_eq!(back_end.listening(), back_end.ports());
}

/// A small collector must still take spans: the memory limiter's bound lies above what it needs for itself.
#[test]
fn the_smallest_collector_takes_spans() {
    let directory = Directory::create("collector-small").expect("a directory");
    let text =
        planned(&profile("trakt", "collector: {resources: {limits: {memory: 32Mi}}}")).expect("a file");
    let small = Running::start("small", &text, "127.0.0.1:9", &directory);
    let ids: Vec<u128> = (0..100).map(telemetry::trace_id).collect();
    small.post("/v1/traces", &telemetry::spans(&ids, 0));
    small.wait_for(SPAN_METRICS_CALLS, &[], 100.0);
}

/// The names of its own metrics, as dashboards write them, are in the collector itself: some come with the first failure only.
#[test]
fn dashboards_name_metrics_that_the_collector_has() {
    let binary = fs::read(testbed::path(Part::Collector).expect("the collector")).expect("it is read");
    let mut named = BTreeSet::new();
    let word = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    // Go puts its constants one behind the other: what follows a name may belong to the next one.
    let packed: Vec<&str> = (0..binary.len() - PREFIX.len())
        .filter(|at| binary[*at..].starts_with(PREFIX))
        .filter_map(|at| {
            let length = binary[at..].iter().take_while(|byte| word(byte)).count();
            std::str::from_utf8(&binary[at..at + length]).ok()
        })
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let files = fs::read_dir(folder).expect("the templates").map(|entry| entry.expect("an entry").path());
    let texts: Vec<_> = files.map(|file| fs::read_to_string(file).expect("a template")).collect();
    for name in texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_lowercase() && c != '_')) {
        if !name.starts_with("otelcol_") {
            continue;
        }
        // What the Prometheus exporter appends for type and unit.
        let bare = name.trim_end_matches("_total").trim_end_matches("_bytes").trim_end_matches("_seconds");
        assert!(packed.iter().any(|text| text.starts_with(bare)), "{name}");
        named.insert(name);
    }
    assert!(named.len() > 10, "{named:?}");
    assert!(!packed.iter().any(|text| text.starts_with("otelcol_exporter_lost")), "anything would be found");
}

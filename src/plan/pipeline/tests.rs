use serde_yaml::Value;

use super::*;
use crate::plan::components::{self, Class};
use crate::validate::fixture;
use crate::yaml;

/// Specs that switch each feature; each is put behind `BASE`.
const TABLE: [&str; 13] = [
    "",
    "traces: {sampling: {ratio: '0.1'}}",
    "traces: {sampling: {ratio: '0'}}",
    "traces: {sampling: {ratio: '1.0'}}",
    "traces: {sampling: {ratio: '0.1', at: Application}}",
    "traces: {protocols: [OTLP, JaegerThriftHTTP]}",
    "traces: {protocols: [JaegerThriftHTTP], sampling: {ratio: '0.000001'}}",
    "traces: {protocols: [JaegerThriftHTTP]}\nmetrics: {enabled: false}",
    "traces: {endpoint: 'http://tempo.monitoring:4317'}\nlogs: {endpoint: 'http://loki.monitoring:3100/otlp'}",
    "traces: {endpoint: 'https://otlp.example.com:443', sampling: {ratio: '0.5'}}\nmetrics: {enabled: false}",
    "traces: {enabled: false}",
    "traces: {enabled: false}\nmetrics: {enabled: false}\nlogs: {endpoint: 'https://loki.example.com/otlp'}",
    "collector: {resources: {limits: {memory: 64Mi}}}\nlogs: {enabled: false, endpoint: 'http://loki:3100/otlp'}",
];

fn profile(spec: &str) -> ValidatedProfile {
    fixture(&format!(
        "selector: {{matchLabels: {{app: trakt}}}}\nservice: {{name: trakt, version: '1.0', environment: production}}\n{spec}"
    ))
}

/// The configuration as the collector reads it.
fn read(profile: &ValidatedProfile) -> Value {
    serde_yaml::from_str(&yaml::to_string(&configuration(profile)).unwrap()).unwrap()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Names of all pipelines.
fn pipelines(configuration: &Value) -> Vec<&str> {
    configuration["service"]["pipelines"]
        .as_mapping()
        .unwrap()
        .keys()
        .map(|name| name.as_str().unwrap())
        .collect()
}

/// Receivers, processors and exporters of one pipeline.
fn pipeline<'a>(configuration: &'a Value, name: &str) -> [Vec<&'a str>; 3] {
    let pipeline = &configuration["service"]["pipelines"][name];
    [words(&pipeline["receivers"]), words(&pipeline["processors"]), words(&pipeline["exporters"])]
}

#[test]
fn span_metrics_are_made_before_sampling_and_batching_is_last() {
    let configuration = read(&profile(TABLE[1]));
    assert_eq!(pipelines(&configuration), ["metrics", "metrics/spans", "traces/in", "traces/out"]);
    assert_eq!(
        pipeline(&configuration, "traces/in"),
        [vec!["otlp"], vec!["memory_limiter", "resource"], vec!["forward", "span_metrics"]]
    );
    assert_eq!(
        pipeline(&configuration, "traces/out"),
        [vec!["forward"], vec!["probabilistic_sampler", "transform", "batch"], vec!["otlp_grpc"]]
    );
    assert_eq!(
        pipeline(&configuration, "metrics/spans"),
        [vec!["span_metrics"], vec!["resource/none"], vec!["prometheus"]]
    );
    let sampler = &configuration["processors"]["probabilistic_sampler"];
    assert_eq!(sampler["sampling_percentage"].as_f64(), Some(10.0));
    assert_eq!(sampler["mode"], "proportional");
}

#[test]
fn every_pipeline_starts_with_the_memory_limiter_where_telemetry_comes_in_and_ends_with_a_batch_where_it_goes_out()
 {
    for spec in TABLE {
        let configuration = read(&profile(spec));
        for name in pipelines(&configuration) {
            let [receivers, processors, exporters] = pipeline(&configuration, name);
            let from_outside = receivers.iter().all(|id| ["otlp", "jaeger"].contains(id));
            assert_eq!(processors[0] == "memory_limiter", from_outside, "{name} of {spec:?}");
            assert_eq!(processors.contains(&"resource"), from_outside, "{name} of {spec:?}");
            let sent = exporters.iter().any(|id| id.starts_with("otlp"));
            assert_eq!(processors.last() == Some(&"batch"), sent, "{name} of {spec:?}");
            assert!(!receivers.is_empty() && !exporters.is_empty(), "{name} of {spec:?}");
        }
    }
}

#[test]
fn traces_are_sampled_once_and_only_when_the_collector_shall() {
    for (spec, samples) in TABLE.iter().zip([0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]) {
        let configuration = read(&profile(spec));
        let found = pipelines(&configuration)
            .into_iter()
            .flat_map(|name| pipeline(&configuration, name)[1].clone())
            .filter(|processor| processor.contains("sampl"))
            .count();
        assert_eq!(found, samples, "{spec:?}");
        assert_eq!(
            configuration["processors"].get("probabilistic_sampler").is_some(),
            samples == 1,
            "{spec:?}"
        );
    }
    let sampler =
        |spec| read(&profile(spec))["processors"]["probabilistic_sampler"]["sampling_percentage"].as_f64();
    assert_eq!(sampler(TABLE[2]), Some(0.0));
    assert_eq!(sampler(TABLE[6]), Some(0.0001));
}

#[test]
fn exemplars_lead_to_traces_that_are_kept() {
    for (spec, enabled) in [(TABLE[0], true), (TABLE[1], false), (TABLE[4], true)] {
        let configuration = read(&profile(spec));
        assert_eq!(configuration["connectors"]["span_metrics"]["exemplars"]["enabled"], enabled, "{spec:?}");
    }
}

#[test]
fn every_component_is_defined_used_and_in_the_builders_table() {
    for spec in TABLE {
        let profile = profile(spec);
        let configuration = read(&profile);
        let mut used: Vec<&str> = words(&configuration["service"]["extensions"]);
        for name in pipelines(&configuration) {
            used.extend(pipeline(&configuration, name).concat());
        }
        let mut defined: Vec<&str> = ["receivers", "processors", "exporters", "connectors", "extensions"]
            .iter()
            .filter_map(|class| configuration.get(*class)?.as_mapping())
            .flat_map(|components| components.keys().map(|id| id.as_str().unwrap()))
            .collect();
        used.sort_unstable();
        used.dedup();
        defined.sort_unstable();
        assert_eq!(used, defined, "{spec:?}");
        let types: Vec<_> = super::configuration(&profile).components().collect();
        assert_eq!(types.len(), defined.len(), "{spec:?}");
        components::check("built-from-the-table", types).expect(spec);
    }
}

#[test]
fn signals_that_are_off_leave_nothing_behind() {
    let only_thrift = read(&profile(TABLE[7]));
    assert_eq!(pipelines(&only_thrift), ["traces"]);
    assert_eq!(only_thrift["receivers"].as_mapping().unwrap().len(), 1);
    assert_eq!(only_thrift["receivers"]["jaeger"]["protocols"]["thrift_http"]["endpoint"], "0.0.0.0:14268");

    let thrift_and_metrics = read(&profile(TABLE[6]));
    assert_eq!(pipeline(&thrift_and_metrics, "traces/in")[0], ["jaeger"]);
    assert_eq!(pipeline(&thrift_and_metrics, "metrics")[0], ["otlp"]);

    let only_metrics = super::configuration(&profile(TABLE[10]));
    let types: Vec<_> = only_metrics.components().collect();
    assert_eq!(
        types,
        [
            (Class::Receiver, "otlp"),
            (Class::Processor, "memory_limiter"),
            (Class::Processor, "resource"),
            (Class::Exporter, "prometheus"),
            (Class::Extension, "health_check"),
        ]
    );
    assert_eq!(pipelines(&read(&profile(TABLE[11]))), ["logs"]);
    assert_eq!(
        pipelines(&read(&profile(TABLE[12]))),
        ["metrics", "metrics/spans", "traces/in", "traces/out"]
    );
}

#[test]
fn back_ends_are_addressed_with_or_without_tls() {
    let jaeger = read(&profile(TABLE[0]));
    assert_eq!(jaeger["exporters"]["otlp_grpc"]["endpoint"], "trakt-jaeger:4317");
    assert_eq!(jaeger["exporters"]["otlp_grpc"]["tls"]["insecure"], true);
    let plain = read(&profile(TABLE[8]));
    assert_eq!(plain["exporters"]["otlp_grpc"]["endpoint"], "tempo.monitoring:4317");
    assert_eq!(plain["exporters"]["otlp_grpc"]["tls"]["insecure"], true);
    assert_eq!(plain["exporters"]["otlp_http"]["endpoint"], "http://loki.monitoring:3100/otlp");
    let encrypted = read(&profile(TABLE[9]));
    assert_eq!(encrypted["exporters"]["otlp_grpc"]["endpoint"], "otlp.example.com:443");
    assert_eq!(encrypted["exporters"]["otlp_grpc"].get("tls"), None);
}

#[test]
fn the_services_identity_wins_and_is_text() {
    let configuration = read(&profile(""));
    let attributes = configuration["processors"]["resource"]["attributes"].as_sequence().unwrap();
    let rows: Vec<_> = attributes
        .iter()
        .map(|row| {
            (row["key"].as_str().unwrap(), row["value"].as_str().unwrap(), row["action"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("service.name", "trakt", "upsert"),
            ("service.version", "1.0", "upsert"),
            ("deployment.environment.name", "production", "upsert"),
            ("deployment.environment", "production", "upsert"),
        ]
    );
    let bare = fixture("selector: {matchLabels: {app: trakt}}\nservice: {name: trakt}");
    assert_eq!(read(&bare)["processors"]["resource"]["attributes"].as_sequence().unwrap().len(), 1);
}

#[test]
fn no_text_of_the_profile_is_expanded_by_the_collector() {
    let mut profile = profile(TABLE[8]);
    let hostile = "${env:HOME}$$${file:/etc/passwd}";
    profile.service.name = hostile.to_owned();
    profile.service.version = Some(hostile.to_owned());
    profile.service.environment = Some(hostile.to_owned());
    if let Some(Traces { back_end: TraceBackEnd::Endpoint(endpoint), .. }) = &mut profile.traces {
        endpoint.authority = hostile.to_owned();
    }
    if let Some(logs) = &mut profile.logs {
        logs.endpoint.url = hostile.to_owned();
    }
    let text = yaml::to_string(&configuration(&profile)).unwrap();
    assert_eq!(text.matches("env:HOME").count(), 6, "{text}");
    for (start, run) in dollars(&text) {
        assert_eq!(run % 2, 0, "a lone $ at byte {start} of\n{text}");
    }
}

/// Start and length of every run of `$`.
fn dollars(text: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in text.match_indices('$') {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == at => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

#[test]
fn memory_bounds_follow_from_the_limit() {
    let configuration = read(&profile(TABLE[12]));
    let limiter = &configuration["processors"]["memory_limiter"];
    assert_eq!(limiter["limit_mib"].as_u64(), Some(48));
    assert_eq!(limiter["spike_limit_mib"].as_u64(), Some(9));
    assert_eq!(
        configuration["exporters"]["otlp_grpc"]["sending_queue"]["queue_size"].as_u64(),
        Some(8 << 20)
    );
}

#[test]
fn the_names_of_span_metrics_follow_from_the_namespace() {
    assert_eq!(SPAN_METRICS_CALLS, format!("{SPAN_METRICS_NAMESPACE}_calls_total"));
    assert_eq!(SPAN_METRICS_DURATION, format!("{SPAN_METRICS_NAMESPACE}_duration_seconds"));
    let configuration = read(&profile(""));
    assert_eq!(configuration["connectors"]["span_metrics"]["namespace"], SPAN_METRICS_NAMESPACE);
    assert_eq!(configuration["connectors"]["span_metrics"]["histogram"]["unit"], "s");
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for spec in TABLE {
        let text = |_| yaml::to_string(&configuration(&profile(spec))).unwrap();
        let texts: std::collections::BTreeSet<String> = (0..5).map(text).collect();
        assert_eq!(texts.len(), 1, "{spec:?}");
    }
}

//! The generated relabelling in a real Prometheus, on a file with the labels that pod discovery gives.

use std::fs;

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use testbed::{Directory, wait_until};

use super::{DEADLINE, Prometheus, SELECTOR, files, monitor_kinds, only, profile};

/// Targets as pod discovery gives them: one for each declared port, one for each container without ports.
fn pod(name: &str, ip: &str, phase: &str, addresses: &[&str]) -> Vec<Value> {
    addresses
        .iter()
        .enumerate()
        .map(|(index, address)| {
            json!({"targets": [address], "labels": {
                "__meta_kubernetes_namespace": "media",
                "__meta_kubernetes_pod_name": name,
                "__meta_kubernetes_pod_ip": ip,
                "__meta_kubernetes_pod_phase": phase,
                "__meta_kubernetes_pod_label_app": "trakt",
                "__meta_kubernetes_pod_labelpresent_app": "true",
                "__meta_kubernetes_pod_container_name": format!("container-{index}"),
                "__meta_kubernetes_pod_container_init": (index + 1 == addresses.len()).to_string(),
                "__meta_kubernetes_pod_container_port_number": address.rsplit(':').next(),
            }})
        })
        .collect()
}

/// What the Prometheus Operator puts before a PodMonitor's own steps (its configuration generator, v0.85).
fn pod_monitor_job(monitor: &Value) -> Value {
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let job = format!(
        "{}/{}",
        monitor["metadata"]["namespace"].as_str().unwrap(),
        monitor["metadata"]["name"].as_str().unwrap()
    );
    let mut steps = vec![
        json!({"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"}),
        json!({"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"}),
        json!({"source_labels": ["__meta_kubernetes_pod_label_app", "__meta_kubernetes_pod_labelpresent_app"],
               "regex": "(trakt);true", "action": "keep"}),
        json!({"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"}),
        json!({"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"}),
        json!({"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"}),
        json!({"target_label": "job", "replacement": job}),
    ];
    steps.extend(endpoint["relabelings"].as_array().expect("steps").iter().map(|step| {
        let names = [("sourceLabels", "source_labels"), ("targetLabel", "target_label")];
        let rename =
            |name: &str| names.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| to).to_owned();
        Value::Object(
            step.as_object()
                .expect("a step")
                .iter()
                .map(|(name, value)| (rename(name), value.clone()))
                .collect(),
        )
    }));
    json!({
        "job_name": "podMonitor/media/trakt-metrics/0",
        "scrape_interval": endpoint["interval"],
        "metrics_path": endpoint["path"],
        "relabel_configs": steps,
    })
}

#[test]
fn one_target_for_each_pod_whatever_it_declares() {
    let config_map = plan::scrape::plan(&profile("trakt", SELECTOR, &Observed::default())).expect("a plan");
    let scrape: Value = serde_yaml::from_str(&files(&config_map)["media.trakt.scrape.yaml"]).expect("YAML");
    let monitors = plan::scrape::plan(&profile("trakt", SELECTOR, &monitor_kinds())).expect("a plan");
    for mut job in
        [scrape["scrape_configs"][0].clone(), pod_monitor_job(only(&monitors, ChildKind::PodMonitor))]
    {
        let directory = Directory::create("prometheus-relabel").expect("a directory");
        let targets: Vec<_> = [
            pod("two-ports", "127.0.0.11", "Running", &["127.0.0.11:9100", "127.0.0.11:9200", "127.0.0.11"]),
            pod("no-port", "127.0.0.12", "Running", &["127.0.0.12"]),
            pod("that-port", "127.0.0.13", "Running", &["127.0.0.13:8081", "127.0.0.13:9000"]),
            pod("ipv6", "fd00::7", "Running", &["[fd00::7]:9100", "fd00::7"]),
            pod("done", "127.0.0.14", "Succeeded", &["127.0.0.14:8081"]),
            pod("broken", "127.0.0.15", "Failed", &["127.0.0.15:8081"]),
        ]
        .concat();
        fs::write(directory.path().join("targets.json"), json!(targets).to_string())
            .expect("a file is written");
        let fields = job.as_object_mut().expect("a job");
        fields.remove("kubernetes_sd_configs");
        fields.insert("file_sd_configs".to_owned(), json!([{"files": ["targets.json"]}]));
        let config = directory.path().join("prometheus.yml");
        let text = serde_yaml::to_string(&json!({"scrape_configs": [job]})).expect("YAML");
        fs::write(&config, text).expect("a file is written");

        let prometheus =
            Prometheus::start(&[format!("--config.file={}", config.display())], directory.path());
        let found = wait_until("targets in Prometheus", DEADLINE, || {
            let found = prometheus.get("/api/v1/targets")["activeTargets"].take();
            Ok(found.as_array().filter(|targets| !targets.is_empty()).cloned())
        })
        .unwrap();
        let mut found: Vec<_> =
            found.iter().map(|target| json!([target["scrapeUrl"], target["labels"]])).collect();
        found.sort_by_key(Value::to_string);
        let expected = [
            ("no-port", "127.0.0.12:8081"),
            ("two-ports", "127.0.0.11:8081"),
            ("that-port", "127.0.0.13:8081"),
            ("ipv6", "[fd00::7]:8081"),
        ];
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(pod, address)| {
                let labels = json!({"job": "media/trakt-metrics", "namespace": "media", "pod": pod, "instance": address});
                json!([format!("http://{address}/metrics"), labels])
            })
            .collect();
        expected.sort_by_key(Value::to_string);
        assert_eq!(json!(found), json!(expected), "{text}", text = fs::read_to_string(&config).unwrap());
    }
}

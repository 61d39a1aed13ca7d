//! The real Prometheus and promtool on generated configurations: each is valid, Prometheus starts on it and follows its
//! changes, and the relabelling makes exactly one target of a pod, whatever ports it declares.
//!
//! Outside a cluster service discovery has no account: Prometheus says so in its log and runs on without targets. Where
//! targets matter, discovery is replaced by a file with the labels that discovery would give.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::{self, Child};
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{ValidatedProfile, validate};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_get, wait_until};

mod discovery;
mod monitors;
mod relabeling;

const DEADLINE: Duration = Duration::from_secs(60);

/// A profile through the operator's own steps; `spec` is YAML without `service`.
fn profile(name: &str, spec: &str, observed: &Observed) -> ValidatedProfile {
    let spec = format!("{{service: {{name: trakt}}, {spec}}}");
    let mut profile = TelemetryProfile::new(name, serde_yaml::from_str(&spec).expect("a spec"));
    profile.metadata.namespace = Some("media".to_owned());
    validate(&profile, observed, &Settings::default()).unwrap_or_else(|error| panic!("{spec}: {error}"))
}

fn only(children: &[Child], kind: ChildKind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("a child of this kind").body
}

fn files(children: &[Child]) -> BTreeMap<String, String> {
    serde_json::from_value(only(children, ChildKind::ConfigMap)["data"].clone()).expect("files")
}

/// A cluster with the Prometheus Operator.
fn monitor_kinds() -> Observed {
    Observed { served: [ChildKind::ServiceMonitor, ChildKind::PodMonitor].into(), ..Observed::default() }
}

const SELECTOR: &str = "selector: {matchLabels: {app: trakt}}";

/// Specs that reach every branch of the configuration, without `metrics.prometheus`.
fn specs() -> Vec<String> {
    let slos = "slos: [
        {name: calls, objective: '99.5', ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}},
        {name: speed, objective: '99', window: 7d, latency: {histogram: duration_seconds, threshold: '0.5'}},
        {name: fresh, objective: '99.9', window: 12w, freshness: {counter: runs_total, maxAge: 6h}}]";
    let selectors = [
        "matchLabels: {app.kubernetes.io/name: trakt, tier: ''}",
        "matchExpressions: [{key: app, operator: In, values: [b, a, '']}, {key: tier, operator: NotIn, values: [in, notin]}]",
        "matchExpressions: [{key: in, operator: Exists}, {key: example.com/notin, operator: DoesNotExist}]",
        "matchLabels: {app: notin}, matchExpressions: [{key: app, operator: In, values: ['']}]",
    ];
    let mut specs: Vec<_> = selectors.iter().map(|selector| format!("selector: {{{selector}}}")).collect();
    specs.push(SELECTOR.to_owned());
    specs.extend(
        ["metrics: {port: 1, path: '/a~b/c.d', interval: 5s}", "metrics: {port: 65535, interval: 10m}", slos]
            .map(|rest| format!("{SELECTOR}, {rest}")),
    );
    specs.push(format!("{SELECTOR}, traces: {{enabled: false}}, {slos}"));
    specs
}

/// The spec with `metrics.prometheus` set.
fn delivered(spec: &str, mode: &str) -> String {
    match spec.split_once("metrics: {") {
        Some((head, tail)) => format!("{head}metrics: {{prometheus: {mode}, {tail}"),
        None => format!("{spec}, metrics: {{prometheus: {mode}}}"),
    }
}

fn write(directory: &Path, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        fs::write(directory.join(name), text).expect("a file is written");
    }
}

fn promtool_check(config: &Path) -> String {
    let mut promtool = Command::new(testbed::path(Part::Promtool).expect("promtool"));
    testbed::output(promtool.args(["check", "config"]).arg(config)).unwrap_or_else(|error| {
        panic!("{error:?}\n{}", fs::read_to_string(config).unwrap_or_default());
    })
}

/// A running Prometheus.
pub struct Prometheus {
    pub process: Daemon,
    pub url: String,
}

impl Prometheus {
    /// Starts one with its files in `directory` and waits until it is ready.
    pub fn start(arguments: &[String], directory: &Path) -> Self {
        let [port] = free_ports().expect("a free port");
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(testbed::path(Part::Prometheus).expect("Prometheus"));
        command.args(arguments).arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(directory);
        let readiness = Readiness::Http { url: format!("{url}/-/ready"), deadline: DEADLINE };
        let process = Daemon::start("prometheus", command, &directory.join("prometheus.log"), readiness)
            .unwrap_or_else(|error| panic!("Prometheus with {arguments:?} does not turn ready: {error:?}"));
        Self { process, url }
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = http_get(&format!("{}{path}", self.url)).expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["data"].take()
    }
}

/// The managed Prometheus' own arguments, with its directories moved below `directory`.
fn arguments(children: &[Child], directory: &Path) -> Vec<String> {
    let container = &only(children, ChildKind::Deployment)["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).expect("arguments");
    let place = |path: &str| directory.join(path).display().to_string();
    arguments
        .iter()
        .map(|argument| {
            argument
                .replace("=/etc/prometheus", &format!("={}", place("config")))
                .replace("=/prometheus", &format!("={}", place("data")))
        })
        .collect()
}

#[test]
fn starts_on_every_managed_configuration() {
    let alertmanagers = ["http://alertmanager.monitoring:9093", "https://alerts.example.com/am"];
    for spec in specs() {
        let mut profile = profile("trakt", &delivered(&spec, "Managed"), &Observed::default());
        profile.alertmanager_urls = alertmanagers.map(str::to_owned).into();
        let children = plan::prometheus::plan(&profile).expect("a plan");
        let directory = Directory::create("prometheus-table").expect("a directory");
        let config = directory.path().join("config");
        fs::create_dir(&config).expect("a directory");
        write(&config, &files(&children));
        let checked = promtool_check(&config.join("prometheus.yml"));
        let rule_files = usize::from(!profile.slos.is_empty());
        assert_eq!(checked.matches("rules found").count(), rule_files, "{spec}: {checked}");

        let prometheus = Prometheus::start(&arguments(&children, directory.path()), directory.path());
        assert_eq!(prometheus.get("/api/v1/status/runtimeinfo")["storageRetention"], "13w or 2GiB");
        let loaded = prometheus.get("/api/v1/status/config")["yaml"].take();
        let loaded: Value = serde_yaml::from_str(loaded.as_str().expect("a configuration")).expect("YAML");
        let jobs: Vec<_> =
            loaded["scrape_configs"].as_array().expect("jobs").iter().map(|job| &job["job_name"]).collect();
        assert_eq!(
            jobs,
            ["media/trakt-metrics", "media/trakt-collector", "media/trakt-collector-own"],
            "{spec}"
        );
        let addresses: Vec<_> = loaded["alerting"]["alertmanagers"]
            .as_array()
            .expect("Alertmanagers")
            .iter()
            .map(|known| {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let target = word(&known["static_configs"][0]["targets"][0]);
                format!("{}://{target}{}", word(&known["scheme"]), word(&known["path_prefix"]))
            })
            .collect();
        assert_eq!(addresses, alertmanagers, "{spec}");
        let groups = prometheus.get("/api/v1/rules")["groups"].as_array().map_or(0, Vec::len);
        assert_eq!(groups > 0, !profile.slos.is_empty(), "{spec}");
    }
}

/// As the kubelet does it: the files are links through a directory link, which is replaced in one step.
#[test]
fn follows_a_changed_rule_file_without_a_restart() {
    let directory = Directory::create("prometheus-reload").expect("a directory");
    let config = directory.path().join("config");
    fs::create_dir(&config).expect("a directory");
    let publish = |version: &str, objective: &str| {
        let slo = format!(
            "slos: [{{name: calls, objective: '{objective}', ratio: {{bad: errors_total, total: calls_total}}}}]"
        );
        let spec = delivered(&format!("{SELECTOR}, {slo}"), "Managed");
        let children =
            plan::prometheus::plan(&profile("trakt", &spec, &Observed::default())).expect("a plan");
        let files = files(&children);
        fs::create_dir(config.join(version)).expect("a directory");
        write(&config.join(version), &files);
        symlink(version, config.join("..new")).expect("a link");
        fs::rename(config.join("..new"), config.join("..data")).expect("the link is replaced");
        for name in files.keys().filter(|name| !config.join(name).exists()) {
            symlink(Path::new("..data").join(name), config.join(name)).expect("a link");
        }
        children
    };
    let children = publish("..one", "99.5");
    let mut arguments = arguments(&children, directory.path());
    arguments.push("--config.auto-reload-interval=1s".to_owned());
    let mut prometheus = Prometheus::start(&arguments, directory.path());
    let before = prometheus.get("/api/v1/rules");
    assert_ne!(before["groups"], json!([]));

    publish("..two", "99.9");
    let definitions = |rules: &Value| rules["groups"].to_string().contains("0.999");
    wait_until("the changed rules in Prometheus", DEADLINE, || {
        let rules = prometheus.get("/api/v1/rules");
        Ok(definitions(&rules).then_some(()))
    })
    .unwrap();
    assert!(!definitions(&before), "the first rules have the new objective already: {before:#}");
    assert_eq!(prometheus.process.exited().expect("its state"), None);
}

/// Any Prometheus can load the files of several profiles from one directory.
#[test]
fn a_plain_prometheus_loads_the_scrape_files() {
    let directory = Directory::create("prometheus-files").expect("a directory");
    let mut jobs = Vec::new();
    for (index, spec) in specs().iter().enumerate() {
        let name = format!("trakt-{index}");
        let profile = profile(&name, &delivered(spec, "ConfigMap"), &Observed::default());
        let children = plan::scrape::plan(&profile).expect("a plan");
        assert_eq!(
            only(&children, ChildKind::ConfigMap)["metadata"]["labels"][plan::scrape::SCRAPE_LABEL],
            "true"
        );
        write(directory.path(), &files(&children));
        jobs.extend([
            plan::scrape::application_job(&profile),
            plan::scrape::collector_job(&profile),
            plan::scrape::collector_own_pool(&profile),
        ]);
    }
    jobs.sort();
    let config = directory.path().join("prometheus.yml");
    fs::write(&config, "scrape_config_files: ['*.scrape.yaml']\n").expect("a file is written");
    promtool_check(&config);
    let prometheus = Prometheus::start(&[format!("--config.file={}", config.display())], directory.path());
    wait_until("the jobs of every file in Prometheus", DEADLINE, || {
        let mut pools: Vec<String> =
            serde_json::from_value(prometheus.get("/api/v1/scrape_pools")["scrapePools"].take())?;
        pools.sort();
        Ok((pools == jobs).then_some(()))
    })
    .unwrap();
}

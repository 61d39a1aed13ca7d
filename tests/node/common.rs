//! The cluster that the tests share, and what several of them do in a namespace of their own. In: profiles and manifests.
//! Out: a [`Site`] that applies, waits and asks, and tells on failure what it looks like there. It talks to the cluster.

use std::path::Path;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::{Forward, OPERATOR_NAMESPACE, Stack, http, prometheus, wait_until};

/// How long a condition may take on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The application of `examples/exporter/kubernetes.yaml`, and the profile that belongs to it.
pub const EXPORTER: &str = "export-trakt-4-letterboxd";

/// The operator on a node. It ends with this process. It asks the Prometheus of one test about profiles whose metrics are
/// delivered as ConfigMaps, so there is no such profile but there.
pub static STACK: LazyLock<Stack> =
    LazyLock::new(|| start(&[("PROMETHEUS_URL", "http://prometheus.shop:9090")]));

/// A stack of one's own.
pub fn start(environment: &[(&str, &str)]) -> Stack {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = Path::new(env!("CARGO_BIN_EXE_telemetry-operator")).parent().unwrap();
    Stack::start(repository, programs, environment).unwrap()
}

/// The documents of a YAML file of the repository.
pub fn documents(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Resources so small that many stacks find room on a node of two cores.
pub fn small() -> Value {
    json!({"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}})
}

/// A namespace of a stack, and what a test does in it.
pub struct Site<'a> {
    pub stack: &'a Stack,
    pub namespace: &'a str,
}

impl<'a> Site<'a> {
    /// Makes the namespace.
    pub fn new(stack: &'a Stack, namespace: &'a str) -> Self {
        stack.namespace(namespace).unwrap();
        Self { stack, namespace }
    }

    /// Applies one object.
    pub fn apply(&self, object: &Value) {
        self.stack.apply(Some(self.namespace), &object.to_string()).unwrap();
    }

    /// Applies a profile. Where the spec says nothing about resources, collector and Jaeger get small ones.
    pub fn profile(&self, name: &str, mut spec: Value) {
        for workload in ["collector", "jaeger"] {
            if spec[workload]["resources"].is_null() {
                spec[workload]["resources"] = small();
            }
        }
        self.apply(&json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
            "metadata": {"name": name}, "spec": spec}));
    }

    /// Applies the profile of [`EXPORTER`]: every trace is kept, scraped every five seconds. `changes` is merged into it.
    pub fn exporter_profile(&self, changes: &Value) {
        let mut spec = json!({
            "selector": {"matchLabels": {"app.kubernetes.io/name": EXPORTER}},
            "service": {"name": EXPORTER, "environment": "test"},
            "metrics": {"port": 8081, "interval": "5s", "prometheus": "Managed"},
        });
        merge(&mut spec, changes);
        self.profile(EXPORTER, spec);
    }

    /// Runs [`EXPORTER`] with its simulated Trakt: it exports when it is asked to, at port 8082 of the Service of its name.
    pub fn run_exporter(&self) {
        let serve = json!([
            "serve",
            "--listen",
            "0.0.0.0:8082",
            "--config",
            "/etc/exporter/telemetry.toml",
            "--output",
            "/data/letterboxd",
            "--patience",
            "30s"
        ]);
        let mut items = documents("examples/exporter/kubernetes.yaml");
        let exporter = items
            .iter_mut()
            .find(|item| item["kind"] == "Deployment" && item["metadata"]["name"] == EXPORTER);
        exporter.unwrap()["spec"]["template"]["spec"]["containers"][0]["args"] = serve;
        items.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": EXPORTER},
            "spec": {"selector": {"app.kubernetes.io/name": EXPORTER}, "ports": [
                {"name": "exports", "port": 8082}, {"name": "metrics", "port": 8081}]}}));
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
        self.available("trakt-sim");
        self.available(EXPORTER);
    }

    /// Where to ask the exporter to export, through a loopback port.
    pub fn exports(&self) -> Forward {
        self.forward(EXPORTER, 8082)
    }

    /// Exports everything once: the report of what was done.
    pub fn export(&self, exports: &Forward) -> Value {
        let (status, body) = http("POST", &format!("{}/exports", exports.url()), "").unwrap();
        assert_eq!(status, 200, "{body}\n{}", self.diagnosis());
        serde_json::from_str(&body).unwrap()
    }

    /// A loopback port that leads to a Service's port.
    pub fn forward(&self, service: &str, port: u16) -> Forward {
        self.stack.node().forward(self.namespace, service, port).unwrap()
    }

    /// The query API of a profile's Jaeger.
    pub fn jaeger(&self, profile: &str) -> Forward {
        self.stack.jaeger(self.namespace, profile).unwrap()
    }

    /// The API of a profile's managed Prometheus.
    pub fn prometheus(&self, profile: &str) -> Forward {
        self.stack.prometheus(self.namespace, profile).unwrap()
    }

    /// Waits until a Prometheus has evaluated so many groups of rules, all without an error.
    pub fn rules_are_evaluated(&self, prometheus: &Forward, groups: usize) {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        self.wait(&format!("{groups} groups of rules that are evaluated"), || {
            let found = list(&prometheus::ask(&prometheus.url(), "/api/v1/rules")?, "groups");
            anyhow::ensure!(found.len() == groups, "{} groups: {found:#?}", found.len());
            // The groups of whole periods come within two minutes; their history has a test of its own.
            let slow = |group: &Value| group["interval"].as_f64().is_some_and(|seconds| seconds > 60.0);
            for group in &found {
                for rule in list(group, "rules") {
                    let healthy = rule["health"] == "ok" || (slow(group) && rule["health"] == "unknown");
                    anyhow::ensure!(healthy, "{rule:#?}");
                }
            }
            Ok(Some(()))
        });
    }

    /// One object, or a list.
    pub fn get(&self, what: &str) -> Value {
        self.stack.get(self.namespace, what).unwrap()
    }

    /// The items of a list, for example `pods -l app=x`.
    pub fn list(&self, what: &str) -> Vec<Value> {
        self.get(what)["items"].as_array().unwrap().clone()
    }

    /// Changes an object by a JSON merge patch.
    pub fn patch(&self, what: &str, patch: &Value) {
        self.stack.patch(self.namespace, what, patch).unwrap();
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &str) -> Result<String> {
        self.stack.kubectl(&format!("-n {} {arguments}", self.namespace))
    }

    /// Waits until every pod of a Deployment's present template is there.
    pub fn available(&self, deployment: &str) {
        self.or_tell(self.kubectl(&format!("rollout status deployment/{deployment} --timeout=120s")));
    }

    /// Waits until a profile is Ready in its present form.
    pub fn ready(&self, profile: &str) {
        self.condition(profile, "Ready", "True", "");
    }

    /// Waits for a condition that judges a profile's present form, with this status and, unless it is empty, reason.
    /// Gives its message.
    pub fn condition(&self, profile: &str, kind: &str, status: &str, reason: &str) -> String {
        self.wait(&format!("{kind}={status} {reason} of {profile}"), || {
            let found = self.stack.get(self.namespace, &format!("tp/{profile}"))?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let condition =
                conditions.iter().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
            let fits = found["status"]["observedGeneration"] == found["metadata"]["generation"]
                && condition["status"] == status
                && (reason.is_empty() || condition["reason"] == reason);
            anyhow::ensure!(fits, "{condition}");
            Ok(Some(condition["message"].as_str().unwrap_or_default().to_owned()))
        })
    }

    /// Waits for something; on failure the namespace is described. Checks start programs, and the node needs the cores:
    /// there is a pause before each further one.
    pub fn wait<T>(&self, what: &str, mut check: impl FnMut() -> Result<Option<T>>) -> T {
        let mut pause = Duration::ZERO;
        self.or_tell(wait_until(what, DEADLINE, || {
            sleep(pause);
            pause = Duration::from_millis(400);
            check()
        }))
    }

    fn or_tell<T>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error:#}\n{}", self.diagnosis()))
    }

    /// Conditions of the profiles, pods, and the end of each log, the operator's included.
    pub fn diagnosis(&self) -> String {
        let tell = |result: Result<String>| result.unwrap_or_else(|error| format!("{error:#}"));
        let conditions = "{range .items[*]}{.metadata.name}{\"\\n\"}{range .status.conditions[*]}  \
            {.type}={.status} {.reason}: {.message}{\"\\n\"}{end}{end}";
        let mut profiles = self.stack.command(&format!("-n {} get tp -o", self.namespace));
        let profiles = testbed::output(profiles.arg(format!("jsonpath={conditions}")));
        let mut text = format!("--- {}\n{}", self.namespace, tell(profiles));
        text += &tell(self.kubectl("get pods -o wide"));
        for pod in tell(self.kubectl("get pods -o name")).lines() {
            let log = self.kubectl(&format!("logs {pod} --all-containers --tail=15"));
            text += &format!("--- the end of {pod}'s log\n{}", tell(log));
        }
        let operator = format!("logs -n {OPERATOR_NAMESPACE} deployment/telemetry-operator --tail=15");
        text + &format!("--- the end of the operator's log\n{}", tell(self.stack.kubectl(&operator)))
    }
}

/// Puts `changes` over `value`, map by map.
pub fn merge(value: &mut Value, changes: &Value) {
    match changes {
        Value::Object(map) if value.is_object() => {
            map.iter().for_each(|(key, change)| merge(&mut value[key.as_str()], change));
        }
        _ => value.clone_from(changes),
    }
}

//! What an injection costs the creation of a pod: `cargo bench --bench admission`.
//!
//! Pods are made as a dry run, one after the other, on a real API server: without admission, by the policy, by the webhook of an
//! operator that runs beside it. Each way is measured in several rounds, so that a slow moment of the machine hits all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;
use std::time::{Duration, Instant};

use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use telemetry_operator::{inject, settings::Settings};
use testbed::{ControlPlane, Daemon, Readiness, free_ports};

const ROUNDS: usize = 5;
/// Pods in each round and case.
const PODS: usize = 100;
/// Pods before that, which are not counted.
const WARM_UP: usize = 10;
const DEADLINE: Duration = Duration::from_secs(60);

/// A namespace, how many profiles it has besides the one that matches, and whether there is one.
const NAMESPACES: [(&str, usize, bool); 5] =
    [("empty", 0, false), ("other", 1, false), ("one", 0, true), ("ten", 9, true), ("hundred", 99, true)];

/// A way, the namespace in which it is measured, what it is called.
const CASES: [(Way, &str, &str); 8] = [
    (Way::None, "one", "no admission"),
    (Way::Policy, "empty", "policy, no profile in the namespace"),
    (Way::Policy, "other", "policy, one profile that does not match"),
    (Way::Policy, "one", "policy, one profile that injects"),
    (Way::Policy, "ten", "policy, ten profiles of which one injects"),
    (Way::Policy, "hundred", "policy, a hundred profiles of which one injects"),
    (Way::Webhook, "other", "webhook, one profile that does not match"),
    (Way::Webhook, "one", "webhook, one profile that injects"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    None,
    Policy,
    Webhook,
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let bed = Bed::start().await;
    let mut samples = CASES.map(|_| Vec::with_capacity(ROUNDS * PODS));
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for way in [Way::None, Way::Policy, Way::Webhook] {
            let _operator = bed.switch(way).await;
            for ((_, namespace, _), samples) in
                CASES.iter().zip(&mut samples).filter(|((case, ..), _)| *case == way)
            {
                bed.measure(namespace, WARM_UP).await;
                samples.extend(bed.measure(namespace, PODS).await);
            }
        }
    }
    println!("| {} pods each | p50 | p99 | p50 beyond none |\n|---|---|---|---|", ROUNDS * PODS);
    let mut none = 0.0;
    for ((way, _, name), mut samples) in CASES.into_iter().zip(samples) {
        samples.sort_unstable();
        let at =
            |share: usize| samples[(samples.len() * share / 100).min(samples.len() - 1)].as_secs_f64() * 1e3;
        if way == Way::None {
            none = at(50);
        }
        println!("| {name} | {:.1} ms | {:.1} ms | {:+.1} ms |", at(50), at(99), at(50) - none);
    }
}

/// An API server with the CRD and profiles, and the ways of injection that can be switched on.
struct Bed {
    plane: ControlPlane,
    client: Client,
}

impl Bed {
    async fn start() -> Self {
        let plane = ControlPlane::start().unwrap();
        let crd = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/telemetryprofile.yaml");
        plane.apply(&std::fs::read_to_string(crd).unwrap()).unwrap();
        let established =
            ["wait", "--for=condition=Established", "crd/telemetryprofiles.telemetry-operator.dev"];
        testbed::output(&mut plane.kubectl(established)).unwrap();
        for (namespace, others, matches) in NAMESPACES {
            plane
                .apply(
                    &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
                        .to_string(),
                )
                .unwrap();
            let others = (0..others).map(|number| profile(namespace, &format!("other-{number}"), "other"));
            let profiles: Vec<_> = others.chain(matches.then(|| profile(namespace, "web", "web"))).collect();
            if !profiles.is_empty() {
                plane
                    .apply(&json!({"apiVersion": "v1", "kind": "List", "items": profiles}).to_string())
                    .unwrap();
            }
        }
        let kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        Self { plane, client }
    }

    /// Puts one way in force and the others out of it.
    async fn switch(&self, way: Way) -> Option<Daemon> {
        let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration", "metadata": {"name": WEBHOOK}});
        let [policy, binding] = inject::policy::documents(&Settings::default());
        if way != Way::Policy {
            self.delete(&[binding.clone(), policy.clone()]);
        }
        if way != Way::Webhook {
            self.delete(std::slice::from_ref(&configuration));
        }
        let mut operator = None;
        match way {
            Way::None => {}
            Way::Policy => {
                [policy, binding].iter().for_each(|object| self.plane.apply(&object.to_string()).unwrap())
            }
            Way::Webhook => {
                self.plane.apply(&configuration.to_string()).unwrap();
                operator = Some(self.operator());
            }
        }
        let started = Instant::now();
        while self.is_injected().await != (way != Way::None) {
            assert!(started.elapsed() < DEADLINE, "{way:?} does not come into force");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        operator
    }

    fn delete(&self, objects: &[Value]) {
        for object in objects {
            let name = format!(
                "{}/{}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            testbed::output(&mut self.plane.kubectl(["delete", "--ignore-not-found", &name])).unwrap();
        }
    }

    /// An operator beside the API server, with its webhook behind a Service that leads to this machine.
    fn operator(&self) -> Daemon {
        let [http, webhook] = free_ports().unwrap();
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": WEBHOOK, "namespace": SYSTEM},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": WEBHOOK, "namespace": SYSTEM}});
        for object in [service, secret] {
            self.plane.apply(&object.to_string()).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
        command.args([
            "run",
            "--injection",
            "webhook",
            "--watch-namespace",
            "one",
            "--watch-namespace",
            "other",
        ]);
        command.args([
            "--listen",
            &format!("127.0.0.1:{http}"),
            "--webhook-listen",
            &format!("127.0.0.1:{webhook}"),
        ]);
        command.args(["--webhook-port", &webhook.to_string()]);
        command.env("KUBECONFIG", self.plane.kubeconfig()).env("POD_NAMESPACE", SYSTEM);
        let readiness =
            Readiness::Http { url: format!("http://127.0.0.1:{http}/readyz"), deadline: DEADLINE };
        Daemon::start("telemetry-operator", command, &self.plane.directory().join("operator.log"), readiness)
            .unwrap()
    }

    async fn is_injected(&self) -> bool {
        self.create("one").await["spec"]["initContainers"].is_array()
    }

    async fn create(&self, namespace: &str) -> Value {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-", "labels": {"app": "web"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "web", "image": "example.com/web:1"}]}});
        let pod: DynamicObject = serde_json::from_value(pod).unwrap();
        let parameters = PostParams { dry_run: true, field_manager: None };
        serde_json::to_value(api.create(&parameters, &pod).await.unwrap()).unwrap()
    }

    async fn measure(&self, namespace: &str, pods: usize) -> Vec<Duration> {
        let mut samples = Vec::with_capacity(pods);
        for _ in 0..pods {
            let started = Instant::now();
            self.create(namespace).await;
            samples.push(started.elapsed());
        }
        samples
    }
}

const WEBHOOK: &str = "telemetry-operator-webhook";
const SYSTEM: &str = "telemetry-system";

fn profile(namespace: &str, name: &str, app: &str) -> Value {
    json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": app}}, "service": {"name": name}}})
}

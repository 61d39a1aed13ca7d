//! Injection by the webhook, on a real API server of Kubernetes 1.35, which has no policy that could inject.
//!
//! The API server resolves the webhook's Service by itself, as in production; only that the Service is of the type ExternalName, since
//! without a node nothing serves the addresses of Services.

mod away;
pub mod caller;
mod hostile;
mod operator;
mod registration;
mod rotation;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry_operator::leader::Role;
use telemetry_operator::metrics::Metrics;
use telemetry_operator::observed::WebhookState;
use telemetry_operator::observed::{Observed, Way};
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::webhook::certificates::Timing;
use telemetry_operator::webhook::{Service, Webhook};
use testbed::free_ports;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::common::*;
use crate::injection::table::rows;
use crate::injection::{dry_run, injected, table_profiles};

/// Short times, so that nobody waits.
const QUICK: Timing = Timing {
    authority: Duration::from_secs(3600),
    leaf: Duration::from_secs(1800),
    settle: Duration::from_secs(1),
    poll: Duration::from_millis(300),
};

/// The webhook in this process, with an administrator's rights.
struct Hook {
    profiles: Arc<Mutex<Vec<TelemetryProfile>>>,
    observed: watch::Sender<Observed>,
    state: watch::Receiver<WebhookState>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Hook {
    fn start(client: &Client, service: &Service, timing: Timing, profiles: Vec<TelemetryProfile>) -> Self {
        Self::start_at(service.port, client, service, timing, profiles)
    }

    /// One that listens at another port than the Service leads to.
    fn start_at(
        port: u16,
        client: &Client,
        service: &Service,
        timing: Timing,
        profiles: Vec<TelemetryProfile>,
    ) -> Self {
        let profiles = Arc::new(Mutex::new(profiles));
        let shared = Arc::clone(&profiles);
        let stored = move || {
            let profiles = shared.lock().expect("the profiles");
            Some(profiles.iter().map(|profile| Arc::new(DeserializeGuard(Ok(profile.clone())))).collect())
        };
        let webhook = Webhook {
            client: client.clone(),
            service: service.clone(),
            listen: ([127, 0, 0, 1], port).into(),
            timing,
            profiles: Arc::new(stored),
            settings: Settings::default(),
            metrics: Metrics::new(&prometheus::Registry::new()).expect("metrics"),
            role: watch::channel(Role::Leads).1,
        };
        let (observed, ways) = watch::channel(Observed { injection: Way::Webhook, ..Observed::default() });
        let (state, seen) = watch::channel(WebhookState::Starting);
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(webhook.run(ways, state, stopping));
        Self { profiles, observed, state: seen, stop, task }
    }

    async fn registered(&self) {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| *state == WebhookState::Registered);
        let reached = tokio::time::timeout(DEADLINE, reached).await.map(|reached| reached.is_ok());
        assert_eq!(reached, Ok(true), "not registered: {:?}", *self.state.borrow());
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.expect("it ends");
    }
}

/// Name of the webhook's objects in an installation without a name of its own.
const WEBHOOK: &str = "telemetry-operator-webhook";

/// A Service that leads to a free port of this machine.
pub fn service(cluster: &Cluster, namespace: &str, name: &str) -> Service {
    let [port] = free_ports().expect("a port");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
    cluster.plane.apply(&service.to_string()).expect("the Service is accepted");
    Service { name: name.to_owned(), namespace: namespace.to_owned(), port }
}

/// The empty Secret and the empty configuration that go with it.
pub fn install(cluster: &Cluster, service: &Service) {
    let Service { name, namespace, .. } = service;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}});
    cluster.plane.apply(&secret.to_string()).expect("the Secret is accepted");
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration", "metadata": {"name": name}});
    cluster.plane.apply(&configuration.to_string()).expect("the configuration is accepted");
}

/// One test at a time has the operator's own objects.
async fn operator_objects() -> tokio::sync::MutexGuard<'static, ()> {
    static OWNED: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    OWNED.lock().await
}

/// The chart's objects for the webhook, with a Service that leads to this port of this machine by its type.
fn deploy(cluster: &Cluster) {
    let file = crate::chart::webhook();
    let documents =
        serde_yaml::Deserializer::from_str(&file).map(|document| Value::deserialize(document).expect("YAML"));
    for mut document in documents {
        if document["kind"] == "Service" {
            document["spec"] = json!({"type": "ExternalName", "externalName": "127.0.0.1"});
        }
        cluster.plane.apply(&document.to_string()).expect("it is accepted");
    }
}

/// The operator as a process under its own account, whose webhook listens at `port`.
fn operator(cluster: &Cluster, namespace: &str, port: u16, ready: bool) -> Operator {
    let listen = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let arguments = ["--webhook-listen", &listen, "--webhook-port", &port];
    let environment = [("POD_NAMESPACE", OPERATOR_NAMESPACE)];
    Operator::start(cluster, &[namespace], &arguments, &environment, ready)
}

pub async fn configuration(client: &Client, name: &str) -> MutatingWebhookConfiguration {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    api.get(name).await.expect("the configuration")
}

/// Waits until the API server calls the webhook: its view of configurations follows within a second.
pub async fn wait_for_injection(client: &Client, namespace: &str, pod: &Value) {
    eventually("the webhook to inject", || async {
        let made = dry_run(client, namespace, pod).await.map_err(|error| error.to_string())?;
        if has_sidecar(&made) { Ok(()) } else { Err(format!("a pod without the sidecar: {made}")) }
    })
    .await;
}

pub fn has_sidecar(pod: &Value) -> bool {
    pod["spec"]["initContainers"][0]["name"] == "telemetry-sidecar"
}

/// The table of pods: what the webhook makes of each is what the patch makes, twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_and_the_patch_make_the_same_pods() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("webhook-table").await;
    let profiles = table_profiles(&client, &namespace).await;
    let service = service(cluster, &namespace, "table");
    install(cluster, &service);
    let hook = Hook::start(&client, &service, QUICK, profiles.clone());
    hook.registered().await;
    wait_for_injection(&client, &namespace, &crate::injection::table::pod("thrift")).await;
    let (mut wrong, mut sidecars) = (Vec::new(), 0);
    for row in rows().into_iter().filter(|row| row.restricted) {
        let (patched, _) = injected(&profiles, &row.pod);
        let by_webhook = dry_run(&client, &namespace, &row.pod).await.expect("a pod");
        let by_patch = dry_run(&client, &namespace, &patched).await.expect("a patched pod");
        if by_webhook != by_patch {
            wrong.push(format!("{}: {}", row.name, json_patch::diff(&by_webhook, &by_patch)));
        }
        sidecars += usize::from(has_sidecar(&by_webhook));
    }
    assert!(wrong.is_empty(), "webhook and patch differ:\n{}", wrong.join("\n"));
    assert!(sidecars >= 30, "only {sidecars} pods have a sidecar");
    hook.stop().await;
}

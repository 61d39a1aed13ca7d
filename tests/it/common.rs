//! What the tests on a real API server share: one control plane for the whole run, a namespace for each test, the
//! operator as a process under its own restricted account, and waiting for conditions with a deadline.

mod audit;
mod operator;
mod policy;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use audit::{Request, requests};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client, Config, ResourceExt};
pub use operator::Operator;
pub use policy::rewriting_policy;
pub use roles::roles;
use serde_json::{Value, json};
use telemetry_operator::installation::Installation;
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::observe::is_not_found;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::{cli, rbac};
use testbed::ControlPlane;

/// Generous: two cores run a whole control plane and several tests at once.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Account of the operator in an installation without a name of its own.
pub const OPERATOR_NAMESPACE: &str = "telemetry-system";
pub const OPERATOR_ACCOUNT: &str = "telemetry-operator";

/// A control plane with the CRD and the operator's RBAC installed.
pub struct Cluster {
    pub plane: ControlPlane,
    operator_kubeconfig: PathBuf,
}

/// The control plane that tests share; each has a namespace of its own in it.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// The control plane of Kubernetes 1.35 that tests share, as [`shared`] is.
pub fn shared_1_35() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start_1_35)
}

impl Cluster {
    /// A control plane of one's own, for tests that change it.
    pub fn start() -> Self {
        Self::start_with(true)
    }

    /// A control plane with or without the policy that injects sidecars.
    pub fn start_with(policy: bool) -> Self {
        Self::with(ControlPlane::start().expect("a control plane"), policy)
    }

    /// A control plane whose API server has no policy that could inject: Kubernetes 1.35.
    pub fn start_1_35() -> Self {
        Self::with(ControlPlane::start_1_35().expect("a control plane"), false)
    }

    /// A control plane with nothing of the operator's, for what the chart installs. Each release has an account of its own.
    pub fn empty() -> Self {
        let plane = ControlPlane::start().expect("a control plane");
        let operator_kubeconfig = plane.kubeconfig().to_path_buf();
        Self { plane, operator_kubeconfig }
    }

    fn with(plane: ControlPlane, policy: bool) -> Self {
        plane.apply(&repository_file("crds/telemetryprofile.yaml")).expect("the CRD is accepted");
        let installation = Installation::default();
        let documents = roles(&installation, OPERATOR_NAMESPACE, &rbac::rules(&installation), &[]);
        let documents: Vec<_> = documents.iter().map(ToString::to_string).collect();
        plane.apply(&documents.join("\n---\n")).expect("the roles are accepted");
        output(plane.kubectl([
            "wait",
            "--for=condition=Established",
            "crd/telemetryprofiles.telemetry-operator.dev",
            "--timeout=60s",
        ]));
        if policy {
            plane.apply(&injection_policy()).expect("the policy is accepted");
        }
        let operator_kubeconfig = plane
            .kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT)
            .expect("a kubeconfig for the operator");
        Self { plane, operator_kubeconfig }
    }

    /// A client with all rights.
    pub async fn client(&self) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = kube::config::Kubeconfig::read_from(self.plane.kubeconfig()).expect("the kubeconfig");
        let config =
            Config::from_custom_kubeconfig(file, &Default::default()).await.expect("a configuration");
        Client::try_from(config).expect("a client")
    }

    /// A namespace that no other test uses.
    pub async fn namespace(&self, purpose: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let api: Api<Namespace> = Api::all(self.client().await);
        let body = json!({"metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespace = serde_json::from_value(body).expect("a namespace");
        api.create(&PostParams::default(), &namespace).await.expect("the namespace is made");
        self.make_prometheus_role(&name);
        name
    }

    /// What the chart makes in each watched namespace: an operator that works in some namespaces binds managed Prometheuses to it.
    pub fn make_prometheus_role(&self, namespace: &str) {
        let installation = Installation::default();
        let rights = rbac::rules(&installation).prometheus;
        let role = roles::role(Some(namespace), &installation.prometheus_role(), &rights);
        self.plane.apply(&role.to_string()).expect("the role is accepted");
    }

    /// The operator as a process, for these namespaces only, ready to work.
    pub fn operator(&self, namespaces: &[&str], arguments: &[&str]) -> Operator {
        Operator::start(self, namespaces, arguments, &[], true)
    }

    /// Waits until the operator has written nothing in these namespaces for three seconds.
    pub async fn quiet(&self, namespaces: &[&str]) {
        let mut seen = (usize::MAX, Instant::now());
        eventually(&format!("the operator to write nothing in {namespaces:?} for 3 s"), || {
            let writes = self.operator_writes(namespaces).len();
            if writes != seen.0 {
                seen = (writes, Instant::now());
            }
            let quiet = seen.1.elapsed() >= Duration::from_secs(3);
            async move { if quiet { Ok(()) } else { Err(format!("{writes} writes so far")) } }
        })
        .await;
    }
}

/// Waits until `check` is `Ok`; on time-out the last `Err` is what the panic tells.
pub async fn eventually<T, F, R>(what: &str, check: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    eventually_within(what, DEADLINE, check).await
}

pub async fn eventually_within<T, F, R>(what: &str, deadline: Duration, mut check: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(last) if started.elapsed() > deadline => {
                panic!("waited {deadline:?} for {what}; last seen: {last}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The API of profiles in a namespace.
pub fn profiles(client: &Client, namespace: &str) -> Api<TelemetryProfile> {
    Api::namespaced(client.clone(), namespace)
}

/// Applies the profile `name` with this spec (JSON).
pub async fn apply_profile(client: &Client, namespace: &str, name: &str, spec: Value) -> TelemetryProfile {
    let body = json!({
        "apiVersion": "telemetry-operator.dev/v1alpha1",
        "kind": "TelemetryProfile",
        "metadata": {"name": name},
        "spec": spec,
    });
    profiles(client, namespace)
        .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&body))
        .await
        .unwrap_or_else(|error| panic!("profile {namespace}/{name} is not accepted: {error}"))
}

/// Waits until the operator has dealt with the present generation, and returns the profile.
pub async fn observed(client: &Client, namespace: &str, name: &str) -> TelemetryProfile {
    let api = profiles(client, namespace);
    eventually(&format!("the operator to have dealt with {namespace}/{name}"), || {
        let api = api.clone();
        async move {
            let profile = api.get(name).await.map_err(|error| error.to_string())?;
            let status = profile.status.clone().unwrap_or_default();
            let done = status.observed_generation == profile.metadata.generation
                && status.conditions.iter().any(|c| c.kind == "Ready" && c.reason != "Progressing");
            if done { Ok(profile) } else { Err(format!("status {status:?}")) }
        }
    })
    .await
}

/// Applies the profile `trakt`, waits until the operator has dealt with it and writes nothing more.
pub async fn settle(cluster: &Cluster, client: &Client, namespace: &str, spec: Value) {
    apply_profile(client, namespace, "trakt", spec).await;
    observed(client, namespace, "trakt").await;
    cluster.quiet(&[namespace]).await;
}

/// Waits until a condition of the profile `trakt` has this status.
pub async fn wait_for_condition(
    client: &Client,
    namespace: &str,
    kind: &str,
    status: &str,
    deadline: Duration,
) {
    let api = profiles(client, namespace);
    eventually_within(&format!("{kind} to be {status}"), deadline, || async {
        let profile = api.get("trakt").await.map_err(|error| error.to_string())?;
        let found = condition(&profile, kind);
        if found.0 == status { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Waits until these children are there and those are gone; "within a minute" is promised for everything.
pub async fn wait_for_children(client: &Client, namespace: &str, present: &[&str], absent: &[&str]) {
    let what = format!("{present:?} to be there and {absent:?} to be gone");
    eventually_within(&what, Duration::from_secs(60), || async {
        let found = children(client, namespace).await;
        let ok = present.iter().all(|child| found.contains_key(*child))
            && absent.iter().all(|child| !found.contains_key(*child));
        if ok { Ok(()) } else { Err(format!("{:?}", found.keys())) }
    })
    .await;
}

/// Status, reason and message of a condition.
pub fn condition(profile: &TelemetryProfile, kind: &str) -> (String, String, String) {
    let conditions = profile.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition.kind == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind} in {conditions:?}"));
    (format!("{:?}", found.status), found.reason.clone(), found.message.clone())
}

/// Every object with our label in a namespace, by Kind/name. Kinds that are not served have none.
pub async fn children(client: &Client, namespace: &str) -> BTreeMap<String, DynamicObject> {
    let params = ListParams::default().labels("app.kubernetes.io/managed-by=telemetry-operator");
    let mut found = BTreeMap::new();
    for kind in ChildKind::ALL {
        match child_api(client, namespace, kind).list(&params).await {
            Ok(list) => {
                found.extend(
                    list.items
                        .into_iter()
                        .map(|object| (format!("{}/{}", kind.name(), object.name_any()), object)),
                );
            }
            Err(error) if is_not_found(&error) && kind.is_optional() => {}
            Err(error) => panic!("cannot list {}: {error}", kind.name()),
        }
    }
    found
}

/// The resourceVersion of every child.
pub async fn versions(client: &kube::Client, namespace: &str) -> BTreeMap<String, String> {
    let children = children(client, namespace).await;
    children
        .into_iter()
        .map(|(reference, object)| (reference, object.resource_version().unwrap_or_default()))
        .collect()
}

pub fn child_api(client: &Client, namespace: &str, kind: ChildKind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &kind.api_resource())
}

/// The kind of a Kind/name reference, and the name.
pub fn parse_reference(reference: &str) -> (ChildKind, String) {
    let (kind, name) = reference.split_once('/').expect("Kind/name");
    let kind = ChildKind::ALL.into_iter().find(|candidate| candidate.name() == kind).expect("a known kind");
    (kind, name.to_owned())
}

/// An object without what the API server and other controllers write, for comparing two states.
pub fn without_server_fields(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("an object");
    let top = value.as_object_mut().expect("a map");
    for field in ["status", "apiVersion", "kind"] {
        top.remove(field);
    }
    let metadata = value["metadata"].as_object_mut().expect("metadata");
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    value
}

/// A spec with everything that makes children, on a cluster without optional kinds.
pub fn full_spec() -> Value {
    json!({
        "selector": {"matchLabels": {"app.kubernetes.io/name": "export-trakt"}},
        "service": {"name": "export-trakt", "version": "1.4.0", "environment": "test"},
        "traces": {"sampling": {"ratio": "0.25"}, "protocols": ["OTLP", "JaegerThriftHTTP"],
                   "jaeger": {"storage": "Badger", "size": "1Gi"}},
        "metrics": {"prometheus": "Managed", "instruments": [
            {"name": "export_trakt_api_calls_total", "type": "Counter"},
            {"name": "export_trakt_api_call_duration_seconds", "type": "Histogram", "unit": "s"}]},
        "logs": {"endpoint": "http://loki.monitoring:3100/otlp"},
        "slos": [{"name": "calls", "objective": "99.5", "ratio": {
            "bad": "export_trakt_api_calls_total{outcome=\"error\"}", "total": "export_trakt_api_calls_total"}}],
        "collector": {"replicas": 2},
    })
}

/// The smallest spec.
pub fn minimal_spec() -> Value {
    json!({"selector": {"matchLabels": {"app": "x"}}, "service": {"name": "x"}})
}

/// The policy by which the API server injects, and its binding.
pub fn injection_policy() -> String {
    cli::policy(&Settings::default()).expect("YAML")
}

/// Text of a file of the repository.
pub fn repository_file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a generated file with the repository's, or writes it when UPDATE is set.
pub fn assert_current(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        std::fs::write(&file, generated).expect("the file is written");
        return;
    }
    let present = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(present == generated, "{path} is stale: run `make generate` and look at the difference");
}

/// Standard output of a command that must succeed.
pub fn output(mut command: Command) -> String {
    testbed::output(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// The TCP ports that a process listens at, from /proc.
pub fn listening(process: u32) -> BTreeSet<u16> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files");
    let sockets: BTreeSet<String> = files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter(|target| target.starts_with("socket:"))
        .collect();
    let table = |name| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let lines = table("tcp") + &table("tcp6");
    let listening = lines.lines().filter_map(|line| {
        // slot, local address, remote address, state (0A: listening), six more columns, inode
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ours =
            columns.get(3) == Some(&"0A") && sockets.contains(&format!("socket:[{}]", columns.get(9)?));
        let (_, port) = columns[1].rsplit_once(':')?;
        ours.then(|| u16::from_str_radix(port, 16).expect("a port"))
    });
    listening.collect()
}

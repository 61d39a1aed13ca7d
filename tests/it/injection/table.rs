//! The table: pods and what must become of them. Every pod runs as it is under Pod Security "restricted" unless it says so.

mod profiles;

use serde_json::{Value, json};

pub use profiles::profiles;

/// What must become of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This profile's sidecar.
    Sidecar(&'static str),
    /// No change at all: no profile wants it in there.
    Unchanged,
    /// No change, for this reason of a refusal.
    Refused(&'static str),
}

use Expect::{Refused, Sidecar, Unchanged};

/// A row: a name, the pod, what must become of it, and whether "restricted" admits the pod without a sidecar.
pub struct Row {
    pub name: &'static str,
    pub pod: Value,
    pub expect: Expect,
    pub restricted: bool,
}

/// A pod that "restricted" admits, with one container, labelled `app`.
pub fn pod(app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "row", "labels": {"app": app}},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container("web")],
        },
    })
}

pub fn container(name: &str) -> Value {
    json!({"name": name, "image": "localhost/app:1", "securityContext": {
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
}

/// The pod of profile `everything`.
fn full() -> Value {
    let mut pod = pod("full");
    pod["metadata"]["labels"] = json!({"app": "full", "tier": "web", "team": "a"});
    pod
}

fn owned(app: &str, kind: &str, name: &str, labels: Value) -> Value {
    let mut pod = pod(app);
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": name,
        "uid": "6f1d8f0a-0000-4000-8000-000000000001", "controller": true, "blockOwnerDeletion": true}]);
    for (key, value) in labels.as_object().expect("labels") {
        pod["metadata"]["labels"][key] = value.clone();
    }
    pod
}

fn env(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// Changes a pod.
fn with(mut pod: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut pod);
    pod
}

/// The row of a pod with one field of the spec set.
fn spec(app: &str, field: &str, value: Value) -> Value {
    with(pod(app), |pod| pod["spec"][field] = value)
}

fn web(app: &str, field: &str, value: Value) -> Value {
    with(pod(app), |pod| pod["spec"]["containers"][0][field] = value)
}

fn ports(ports: Value) -> Value {
    web("plain", "ports", ports)
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let row = |name, pod, expect| Row { name, pod, expect, restricted: true };
    let mut rows = vec![];
    rows.extend(selection().into_iter().map(|(name, pod, expect)| row(name, pod, expect)));
    rows.extend(shapes().into_iter().map(|(name, pod)| row(name, pod, Sidecar("plain"))));
    rows.extend(variables().into_iter().map(|(name, pod, profile)| row(name, pod, Sidecar(profile))));
    rows.extend(owners().into_iter().map(|(name, pod)| row(name, pod, Sidecar("plain"))));
    rows.extend(refusals().into_iter().map(|(name, pod, reason, restricted)| Row {
        name,
        pod,
        expect: Refused(reason),
        restricted,
    }));
    rows
}

fn selection() -> Vec<(&'static str, Value, Expect)> {
    let label = |key: &str, value: &str| with(full(), |pod| pod["metadata"]["labels"][key] = json!(value));
    let plain =
        |key: &str, value: &str| with(pod("plain"), |pod| pod["metadata"]["labels"][key] = json!(value));
    vec![
        ("one container", pod("plain"), Sidecar("plain")),
        ("nobody selects it", pod("other"), Unchanged),
        ("no labels", with(pod("x"), |pod| pod["metadata"] = json!({"name": "row"})), Unchanged),
        ("everything", full(), Sidecar("everything")),
        ("In, the other value", label("app", "fuller"), Sidecar("everything")),
        ("In, no value of it", label("app", "empty"), Unchanged),
        ("NotIn, another value", label("zone", "z"), Sidecar("everything")),
        ("NotIn, a value of it", label("zone", "y"), Unchanged),
        ("DoesNotExist, but exists", label("canary", ""), Unchanged),
        ("Exists, with an empty value", label("team", ""), Sidecar("everything")),
        (
            "Exists, but does not",
            with(full(), |pod| pod["metadata"]["labels"] = json!({"app": "full", "tier": "web"})),
            Unchanged,
        ),
        ("matchLabels, another value", label("tier", "db"), Unchanged),
        ("traces off", pod("metrics"), Sidecar("metrics")),
        ("metrics off", pod("grpc"), Sidecar("grpc")),
        ("Thrift alone", pod("thrift"), Sidecar("thrift")),
        ("sidecar off", pod("off"), Unchanged),
        ("no signal", pod("silent"), Unchanged),
        ("opted out", plain("telemetry-operator.dev/inject", "false"), Unchanged),
        ("opted in explicitly", plain("telemetry-operator.dev/inject", "true"), Sidecar("plain")),
        ("the operator's own pod", plain("app.kubernetes.io/managed-by", "telemetry-operator"), Unchanged),
        (
            "a label that claims a sidecar",
            plain("telemetry-operator.dev/sidecar", "nobody"),
            Sidecar("plain"),
        ),
    ]
}

fn shapes() -> Vec<(&'static str, Value)> {
    let emptied = |field: &str| spec("plain", field, json!([]));
    let two = json!([container("web"), container("helper")]);
    let many: Vec<_> = (0..12).map(|n| container(&format!("c{n}"))).collect();
    let fifty: Vec<_> = (0..50).map(|n| json!({"name": format!("V{n}"), "value": "x".repeat(60)})).collect();
    let crowded = |n: usize| with(container(&format!("c{n}")), |c| c["env"] = json!(fifty));
    let crowd: Vec<_> = (0..50).map(crowded).collect();
    let init = |name: &str| with(container(name), |c| c["command"] = json!(["true"]));
    let native = with(container("proxy"), |c| c["restartPolicy"] = json!("Always"));
    let volumes =
        json!([{"name": "data", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}]);
    let mounted = with(spec("plain", "volumes", volumes), |pod| {
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    });
    let metadata = |field: &str, value: Value| with(pod("plain"), |pod| pod["metadata"][field] = value);
    let probes = json!({"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 3});
    vec![
        ("empty initContainers", emptied("initContainers")),
        ("empty volumes", emptied("volumes")),
        ("empty env", web("plain", "env", json!([]))),
        ("empty imagePullSecrets", emptied("imagePullSecrets")),
        ("one init container", spec("plain", "initContainers", json!([init("a")]))),
        (
            "several init containers",
            spec("plain", "initContainers", json!([init("a"), init("b"), init("c")])),
        ),
        ("another native sidecar", spec("plain", "initContainers", json!([init("a"), native]))),
        ("two containers", spec("plain", "containers", two)),
        ("a dozen containers", spec("plain", "containers", json!(many))),
        ("fifty containers with fifty variables each", spec("plain", "containers", json!(crowd))),
        ("volumes of its own", mounted),
        ("a service account token", spec("plain", "automountServiceAccountToken", json!(true))),
        ("annotations", metadata("annotations", json!({"a/b": "c", "quoted": "it's \"so\""}))),
        (
            "a generated name",
            with(metadata("generateName", json!("row-")), |pod| {
                pod["metadata"].as_object_mut().expect("metadata").remove("name");
            }),
        ),
        ("a finalizer", metadata("finalizers", json!(["example.com/keep"]))),
        ("a field from the future", spec("plain", "fromTheFuture", json!({"a": [1, 2.5, null, "x"]}))),
        ("a field newer than many clients", spec("plain", "hostnameOverride", json!("named"))),
        (
            "a pod with resources of its own",
            spec(
                "plain",
                "resources",
                json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}),
            ),
        ),
        (
            "probes and hooks",
            with(web("plain", "readinessProbe", probes), |pod| {
                pod["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
            }),
        ),
        (
            "affinity, tolerations, spread",
            with(pod("plain"), |pod| {
                pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
                pod["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
                pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "plain"}}}]);
            }),
        ),
        ("a process namespace for all", spec("plain", "shareProcessNamespace", json!(true))),
        ("Linux by name", spec("plain", "os", json!({"name": "linux"}))),
        ("never restarted", spec("plain", "restartPolicy", json!("Never"))),
        ("a deadline", spec("plain", "activeDeadlineSeconds", json!(3600))),
        ("UDP at a port of the sidecar", ports(json!([{"containerPort": 4317, "protocol": "UDP"}]))),
        ("Thrift's port, which nobody needs", ports(json!([{"containerPort": 14268}]))),
        (
            "the same port twice",
            ports(json!([{"containerPort": 53, "protocol": "TCP", "name": "a"},
            {"containerPort": 53, "protocol": "UDP", "name": "b"}])),
        ),
    ]
}

fn variables() -> Vec<(&'static str, Value, &'static str)> {
    let set = |pairs: &[(&str, &str)]| web("plain", "env", env(pairs));
    let everything =
        |pairs: &[(&str, &str)]| with(full(), |pod| pod["spec"]["containers"][0]["env"] = env(pairs));
    let secret = json!([{"name": "OTEL_SERVICE_NAME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": true}}}]);
    let all = [
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
        "OTEL_RESOURCE_ATTRIBUTES_POD_UID",
        "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_TRACES_SAMPLER",
        "OTEL_LOGS_EXPORTER",
    ]
    .map(|name| (name, "mine"));
    vec![
        ("variables of another purpose", set(&[("A", "1"), ("B", "$(A)")]), "plain"),
        ("its own service name", set(&[("OTEL_SERVICE_NAME", "mine")]), "plain"),
        ("its own attributes", set(&[("OTEL_RESOURCE_ATTRIBUTES", "a=b")]), "plain"),
        ("its own endpoint", set(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4317")]), "plain"),
        (
            "its own endpoint of traces",
            set(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x:4318")]),
            "plain",
        ),
        ("its own protocol", set(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), "plain"),
        ("its own sampler", everything(&[("OTEL_TRACES_SAMPLER", "always_off")]), "everything"),
        ("every variable its own", set(&all), "plain"),
        ("values from elsewhere", web("plain", "env", secret), "plain"),
        ("one variable twice", set(&[("X", "1"), ("X", "2")]), "plain"),
        (
            "one of the profile's variables its own",
            everything(&[("JAEGER_ENDPOINT", "http://mine")]),
            "everything",
        ),
        (
            "the profile's protocol, and its own",
            with(pod("grpc"), |pod| {
                pod["spec"]["containers"][0]["env"] = env(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")])
            }),
            "grpc",
        ),
        (
            "variables from a ConfigMap",
            web("plain", "envFrom", json!([{"configMapRef": {"name": "c"}}])),
            "plain",
        ),
        (
            "some variables in one of two containers",
            with(pod("plain"), |pod| {
                let other = with(container("other"), |c| c["env"] = env(&[("OTEL_SERVICE_NAME", "other")]));
                pod["spec"]["containers"] = json!([other, container("web")]);
            }),
            "plain",
        ),
        (
            "one of two pull secrets",
            with(full(), |pod| {
                pod["spec"]["imagePullSecrets"] = json!([{"name": "own"}, {"name": "mirror"}]);
            }),
            "everything",
        ),
    ]
}

fn owners() -> Vec<(&'static str, Value)> {
    let hash = json!({"pod-template-hash": "7d4b9c6f8"});
    vec![
        ("of a Deployment", owned("plain", "ReplicaSet", "shop-7d4b9c6f8", hash.clone())),
        (
            "of a Deployment whose name ends like a hash",
            owned("plain", "ReplicaSet", "shop-7d4b9c6f8-7d4b9c6f8", hash.clone()),
        ),
        ("of a ReplicaSet alone", owned("plain", "ReplicaSet", "shop", json!({}))),
        ("of a ReplicaSet with a foreign hash", owned("plain", "ReplicaSet", "shop", hash)),
        (
            "of a StatefulSet",
            owned("plain", "StatefulSet", "db", json!({"apps.kubernetes.io/pod-index": "0"})),
        ),
        ("of a DaemonSet", owned("plain", "DaemonSet", "agent", json!({}))),
        (
            "of a Job",
            with(
                owned(
                    "plain",
                    "Job",
                    "export-28123456",
                    json!({"batch.kubernetes.io/job-name": "export-28123456"}),
                ),
                |pod| {
                    pod["spec"]["restartPolicy"] = json!("OnFailure");
                },
            ),
        ),
        ("of something else", owned("plain", "Workflow", "w", json!({}))),
    ]
}

fn refusals() -> Vec<(&'static str, Value, &'static str, bool)> {
    let named = |list: &str, item: Value| {
        with(pod("plain"), |pod| match &mut pod["spec"][list] {
            Value::Array(items) => items.push(item),
            other => *other = json!([item]),
        })
    };
    let listener = with(container("first"), |c| c["ports"] = json!([{"containerPort": 13133}]));
    let windows = with(pod("plain"), |pod| {
        pod["spec"]["os"] = json!({"name": "windows"});
        pod["spec"]["securityContext"] = json!({"runAsNonRoot": true});
        pod["spec"]["containers"][0].as_object_mut().expect("a container").remove("securityContext");
    });
    let thrift = with(pod("thrift"), |pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 14268}]);
    });
    vec![
        ("the node's network", spec("plain", "hostNetwork", json!(true)), "HostNetwork", false),
        ("Windows", windows, "Windows", true),
        (
            "Windows by its node",
            spec("plain", "nodeSelector", json!({"kubernetes.io/os": "windows"})),
            "Windows",
            true,
        ),
        (
            "it listens at 4317",
            ports(json!([{"containerPort": 80}, {"containerPort": 4317}])),
            "PortTaken",
            true,
        ),
        ("it listens at 4318", ports(json!([{"containerPort": 4318, "protocol": "TCP"}])), "PortTaken", true),
        (
            "an init container listens at 13133",
            spec("plain", "initContainers", json!([listener])),
            "PortTaken",
            true,
        ),
        ("it listens at Thrift's port", thrift, "PortTaken", true),
        (
            "a container has the sidecar's name",
            named("containers", container("telemetry-sidecar")),
            "NameTaken",
            true,
        ),
        (
            "a volume has the sidecar's name",
            named("volumes", json!({"name": "telemetry-sidecar", "emptyDir": {}})),
            "NameTaken",
            true,
        ),
    ]
}

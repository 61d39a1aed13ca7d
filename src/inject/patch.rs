//! The patch that injects: (profile, pod) → RFC 6902 operations, and the CEL expression that makes the same ones. Only what
//! is added is written down, so that fields that nobody here knows stay as they are. No cluster.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::{Map, Value, json};

use super::facts::{Scene, Text, quoted};
use super::shape::{CONTAINER, VARIABLES, VOLUME};
use super::{RECORD_ANNOTATION, SIDECAR_LABEL, VERSION_ANNOTATION};
use crate::plan::sidecar::VERSION;
use crate::profile::TelemetryProfile;
use crate::settings::Settings;

/// The operations for a pod that is to be injected.
pub(super) fn patch(profile: &TelemetryProfile, settings: &Settings, pod: &Value) -> Patch {
    let scene = |container| Scene { profile, settings, pod, container };
    let whole = scene(&Value::Null);
    let mut adds = Adds { pod, operations: Vec::new() };
    adds.list(&["spec", "initContainers"]);
    adds.add(&["spec", "initContainers", "0"], CONTAINER.value(&whole));
    adds.list(&["spec", "volumes"]);
    adds.add(&["spec", "volumes", "-"], VOLUME.value(&whole));
    let secrets = pull_secrets(profile, pod);
    if !secrets.is_empty() {
        adds.list(&["spec", "imagePullSecrets"]);
    }
    for name in &secrets {
        adds.add(&["spec", "imagePullSecrets", "-"], json!({"name": name}));
    }
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let additions: Vec<_> =
        containers.iter().map(|container| additions(&scene(container), container)).collect();
    adds.map(&["metadata", "labels"]);
    adds.add(
        &["metadata", "labels", SIDECAR_LABEL],
        json!(profile.metadata.name.as_deref().unwrap_or_default()),
    );
    adds.map(&["metadata", "annotations"]);
    adds.add(&["metadata", "annotations", VERSION_ANNOTATION], json!(*VERSION));
    adds.add(
        &["metadata", "annotations", RECORD_ANNOTATION],
        json!(record(&whole, &secrets, containers, &additions)),
    );
    for (index, additions) in additions.into_iter().enumerate().filter(|(_, list)| !list.is_empty()) {
        let index = index.to_string();
        adds.list(&["spec", "containers", &index, "env"]);
        for variable in additions {
            adds.add(&["spec", "containers", &index, "env", "-"], variable);
        }
    }
    Patch(adds.operations)
}

/// Operations as they gather.
struct Adds<'a> {
    pod: &'a Value,
    operations: Vec<PatchOperation>,
}

impl Adds<'_> {
    fn add(&mut self, path: &[&str], value: Value) {
        let path = PointerBuf::from_tokens(path.iter().copied());
        self.operations.push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// An empty list at the path, where there is none.
    fn list(&mut self, path: &[&str]) {
        if self.is_absent(path) {
            self.add(path, Value::Array(Vec::new()));
        }
    }

    /// An empty object at the path, where there is none.
    fn map(&mut self, path: &[&str]) {
        if self.is_absent(path) {
            self.add(path, Value::Object(Map::new()));
        }
    }

    fn is_absent(&self, path: &[&str]) -> bool {
        PointerBuf::from_tokens(path.iter().copied()).resolve(self.pod).map_or(true, Value::is_null)
    }
}

/// The variables that a container gets: those that it does not set itself. The profile's own replace ours of the same name.
fn additions(scene: &Scene<'_>, container: &Value) -> Vec<Value> {
    let chosen = &scene.profile.spec.sidecar.environment;
    let own = |name: &str| {
        container["env"].as_array().into_iter().flatten().any(|variable| variable["name"] == name)
    };
    let Value::Array(ours) = VARIABLES.value(scene) else { return Vec::new() };
    let ours =
        ours.into_iter().filter(|variable| chosen.iter().all(|chosen| variable["name"] != chosen.name));
    // The kubelet expands $(NAME) to another variable of the container, which may hold a secret; $$ is a plain $.
    let chosen = chosen
        .iter()
        .map(|variable| json!({"name": variable.name, "value": variable.value.replace('$', "$$")}));
    ours.chain(chosen).filter(|variable| !own(variable["name"].as_str().unwrap_or_default())).collect()
}

/// Names of the collector's pull secrets that the pod has not: the sidecar's image comes from the same registry.
fn pull_secrets(profile: &TelemetryProfile, pod: &Value) -> Vec<String> {
    let present = pod["spec"]["imagePullSecrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = profile.spec.collector.workload.image_pull_secrets.iter();
    wanted
        .filter(|wanted| present.iter().all(|secret| secret["name"] != wanted.0))
        .map(|name| name.0.clone())
        .collect()
}

/// What the profile decides of the sidecar and others may rewrite on a pod's way: a registry's mirror, an autoscaler.
const DECIDED: [Text; 5] =
    [Text::Image, Text::CpuRequest, Text::CpuLimit, Text::MemoryRequest, Text::MemoryLimit];

/// `sidecar=IMAGE,20m,500m,64Mi,128Mi;imagePullSecrets=a,b;containers/web=OTEL_SERVICE_NAME,…`
fn record(whole: &Scene<'_>, secrets: &[String], containers: &[Value], additions: &[Vec<Value>]) -> String {
    let names = |list: &[Value]| {
        let names = list.iter().filter_map(|variable| variable["name"].as_str());
        names.collect::<Vec<_>>().join(",")
    };
    let variables = containers.iter().zip(additions).map(|(container, additions)| {
        format!("containers/{}={}", container["name"].as_str().unwrap_or_default(), names(additions))
    });
    let decided = format!("sidecar={}", DECIDED.map(|text| text.read(whole)).join(","));
    let secrets = format!("imagePullSecrets={}", secrets.join(","));
    [decided, secrets].into_iter().chain(variables).collect::<Vec<_>>().join(";")
}

/// The policy's variables for what the functions above work out: name and expression.
pub(super) fn variables() -> Vec<(&'static str, String)> {
    let additions = format!(
        "object.spec.containers.map(c, (({}).filter(v, !params.spec.sidecar.environment.exists(e, e.name == v.name)) + \
         params.spec.sidecar.environment.map(e, {{'name': dyn(e.name), 'value': dyn(e.value.replace('$', '$$'))}}))\
         .filter(v, !c.?env.orValue([]).exists(e, e.name == v.name)))",
        VARIABLES.cel()
    );
    let secrets = "params.spec.collector.imagePullSecrets\
                   .filter(s, !object.spec.?imagePullSecrets.orValue([]).exists(e, e.name == s))";
    let record = format!(
        "(['sidecar=' + [{}].join(','), 'imagePullSecrets=' + variables.pullSecrets.join(',')] + \
         object.spec.containers.transformList(i, c, 'containers/' + c.name + '=' + \
         variables.additions[i].map(v, v.name).join(','))).join(';')",
        DECIDED.map(Text::cel).join(", ")
    );
    vec![("additions", additions), ("pullSecrets", secrets.to_owned()), ("record", record)]
}

/// The CEL expression of the operations.
pub(super) fn cel() -> String {
    let add = |path: &str, value: &str| format!("JSONPatch{{op: 'add', path: {path}, value: {value}}}");
    let fixed = |path: &str, value: &str| format!("[{}]", add(&quoted(path), value));
    let absent =
        |field: &str, path: &str, empty: &str| format!("(has(object.{field}) ? [] : {})", fixed(path, empty));
    let labelled = |map: &str, key: &str, value: &str| {
        fixed(&format!("/metadata/{map}/{}", key.replace('~', "~0").replace('/', "~1")), value)
    };
    let secrets = format!(
        "(size(variables.pullSecrets) == 0 || has(object.spec.imagePullSecrets) ? [] : {}) + \
         variables.pullSecrets.map(s, {})",
        fixed("/spec/imagePullSecrets", "[]"),
        add("'/spec/imagePullSecrets/-'", "{'name': s}")
    );
    let variables = format!(
        "object.spec.containers.transformList(i, c, size(variables.additions[i]) == 0 || has(c.env) ? [] : [{}]).flatten() + \
         object.spec.containers.transformList(i, c, variables.additions[i].map(v, {})).flatten()",
        add("'/spec/containers/' + string(i) + '/env'", "[]"),
        add("'/spec/containers/' + string(i) + '/env/-'", "v")
    );
    [
        absent("spec.initContainers", "/spec/initContainers", "[]"),
        fixed("/spec/initContainers/0", &CONTAINER.cel()),
        absent("spec.volumes", "/spec/volumes", "[]"),
        fixed("/spec/volumes/-", &VOLUME.cel()),
        secrets,
        absent("metadata.labels", "/metadata/labels", "{}"),
        labelled("labels", SIDECAR_LABEL, "params.metadata.name"),
        absent("metadata.annotations", "/metadata/annotations", "{}"),
        labelled("annotations", VERSION_ANNOTATION, &quoted(&VERSION)),
        labelled("annotations", RECORD_ANNOTATION, "variables.record"),
        variables,
    ]
    .join(" +\n")
}

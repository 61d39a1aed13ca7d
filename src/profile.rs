//! The custom resource `telemetry-operator.dev/v1alpha1` `TelemetryProfile`: types and CEL rules, no logic.
//!
//! In: nothing. Out: the types that everything else reads, and through [`crd`] the CRD. No cluster.
//! Doc comments of fields are what `kubectl explain` shows; bounds and rules are what the API server enforces.

mod signals;
mod slo;
mod status;
mod workload;

use std::collections::BTreeMap;

use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use signals::*;
pub use slo::*;
pub use status::*;
pub use workload::*;

/// API group of the custom resource.
pub const GROUP: &str = "telemetry-operator.dev";
/// Kind of the custom resource.
pub const KIND: &str = "TelemetryProfile";
/// Plural of the custom resource, in URLs and RBAC rules.
pub const PLURAL: &str = "telemetryprofiles";
/// `apiVersion` of the custom resource.
pub const API_VERSION: &str = "telemetry-operator.dev/v1alpha1";

/// Everything that makes one application observable: apply one profile for an application, and a collector, a trace
/// back end, scrape targets, SLO rules, alerts and dashboards follow from it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "telemetry-operator.dev",
    version = "v1alpha1",
    kind = "TelemetryProfile",
    plural = "telemetryprofiles",
    shortname = "tp",
    category = "telemetry",
    namespaced,
    doc = "Everything that makes one application observable: a collector, a trace back end, scrape targets, SLO rules, alerts and dashboards follow from one profile.",
    status = "TelemetryProfileStatus",
    validation = Rule::new("self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name becomes part of Service names: use at most 45 lower-case letters, digits and '-', starting with a letter")
        .field_path(".metadata.name"),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".spec.service.name"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Sampling","type":"string","priority":1,"jsonPath":".status.effective.samplingRatio"}"#,
    printcolumn = r#"{"name":"OTLP","type":"string","priority":1,"jsonPath":".status.endpoints.otlpGrpc"}"#,
    printcolumn = r#"{"name":"Traces","type":"string","priority":1,"jsonPath":".status.endpoints.traceQuery"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.slos) == 0 || self.metrics.enabled")
    .message("SLOs are computed from metrics: set metrics.enabled to true, or remove slos").field_path(".slos"))]
#[x_kube(validation = Rule::new("!self.metrics.enabled || !(self.metrics.port in [4317, 4318, 13133, 14268])")
    .message("4317, 4318, 13133 and 14268 are taken by the collector sidecar in the same pod: serve /metrics on another port")
    .field_path(".metrics.port"))]
pub struct TelemetryProfileSpec {
    /// The application's pods, in the profile's namespace. Required, and it must select something: an empty selector
    /// would mean every pod of the namespace.
    pub selector: LabelSelector,

    /// Who the application is, as OpenTelemetry resource attributes.
    pub service: Service,

    /// Traces: sampling, protocols and the back end.
    #[serde(default)]
    pub traces: Traces,

    /// Metrics: the application's own endpoint and how Prometheus is told of it.
    #[serde(default)]
    pub metrics: Metrics,

    /// Logs over OTLP.
    #[serde(default)]
    pub logs: Logs,

    /// Grafana dashboards.
    #[serde(default)]
    pub dashboards: Dashboards,

    /// Service level objectives: each becomes recording rules and burn-rate alerts.
    #[serde(default)]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub slos: Vec<Slo>,

    /// Labels and links added to every alert.
    #[serde(default)]
    pub alerting: Alerting,

    /// The collector sidecar in the application's pods.
    #[serde(default)]
    pub sidecar: Sidecar,

    /// The collector's workload.
    #[serde(default)]
    pub collector: Collector,

    /// The Jaeger workload, when the operator runs one.
    #[serde(default)]
    pub jaeger: Workload,

    /// True: the operator writes nothing for this profile until it is false again; the condition Paused says so.
    #[serde(default)]
    pub paused: bool,
}

/// A label selector. Both parts must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.matchLabels) + size(self.matchExpressions) > 0")
    .message("an empty selector selects every pod of the namespace: give matchLabels, for example app.kubernetes.io/name"))]
pub struct LabelSelector {
    /// Labels that a pod must carry with exactly these values.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(k, k.size() <= 317)").message("a label key is too long: use at most 317 characters"))]
    pub match_labels: BTreeMap<String, LabelValue>,

    /// Set-based requirements.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One set-based requirement of a label selector.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] ? size(self.values) > 0 : size(self.values) == 0")
    .message("In and NotIn compare with values, Exists and DoesNotExist do not: give values for the first two only").field_path(".values"))]
pub struct LabelSelectorRequirement {
    /// The label's key.
    #[schemars(
        length(min = 1, max = 317),
        regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    )]
    pub key: String,
    /// How the key's value relates to `values`.
    pub operator: SelectorOperator,
    /// Values for In and NotIn.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub values: Vec<LabelValue>,
}

/// Operators of a set-based requirement.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl SelectorOperator {
    /// The operator as Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

/// A Kubernetes label value: at most 63 letters, digits, '-', '_' and '.', or empty.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct LabelValue(
    #[schemars(length(max = 63), regex(pattern = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"))]
    pub  String,
);

/// A label or annotation text with a bound, free in content.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct ShortText(#[schemars(length(max = 253))] pub String);

/// Who the application is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `service.name` of every span, metric and log of the application.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_./ ]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// `service.version`. Left out: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.+]*[A-Za-z0-9])?$"))]
    pub version: Option<String>,
    /// `deployment.environment.name` (and the older `deployment.environment`), for example `production`. Left out: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub environment: Option<String>,
}

/// The CRD as the operator prints it and `crds/` holds it.
///
/// What the API server would change or warn about is put right here, so that a tool which compares the file with the
/// served object sees no difference: line breaks within a description, whole numbers written as decimals, formats that
/// Kubernetes does not know.
///
/// # Errors
/// When the derived CRD cannot be written as JSON, which a test rules out.
pub fn crd() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(TelemetryProfile::crd())?;
    // The API server takes a field path only where the schema names the field.
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] =
        json!({"type": "object", "properties": {"name": {"type": "string"}}});
    tidy(&mut crd);
    Ok(crd)
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if map.get("format").is_some_and(|format| format == "uint16") {
                map.remove("format");
            }
            for bound in ["minimum", "maximum"] {
                if let Some(number) = map.get(bound).and_then(Value::as_f64).filter(|n| n.fract() == 0.0) {
                    // Bounds are small whole numbers: the cast keeps them exactly.
                    map.insert(bound.to_owned(), Value::from(number as i64));
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A URL by HTTP, with a path perhaps, without user, query or blanks.
const HTTP_URL: &str =
    r"^https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9_./~]*)?$";

/// The default of what is on unless somebody turns it off.
fn yes() -> bool {
    true
}

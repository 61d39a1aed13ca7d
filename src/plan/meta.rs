//! Names, labels and owner references of every child. In: the validated profile. Out: metadata. No cluster.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::kinds::{MANAGED_BY, MANAGED_BY_LABEL};
use crate::profile::{API_VERSION, KIND};
use crate::validate::ValidatedProfile;

/// Label with the profile's name.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Label with the component's word.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Annotation on pod templates: pods roll when their configuration changes.
pub const CONFIG_HASH: &str = "telemetry-operator.dev/config-hash";

/// The parts of a profile's stack; each gives its children's names and their component label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The collector.
    Collector,
    /// Jaeger.
    Jaeger,
    /// The managed Prometheus.
    Prometheus,
    /// Scrape targets.
    Metrics,
    /// SLO rules.
    Slo,
    /// A dashboard.
    Dashboard,
    /// The sidecar in the application's pods.
    Sidecar,
}

impl Component {
    /// The word in names and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Jaeger => "jaeger",
            Self::Prometheus => "prometheus",
            Self::Metrics => "metrics",
            Self::Slo => "slo",
            Self::Dashboard => "dashboard",
            Self::Sidecar => "sidecar",
        }
    }

    /// The software's name for `app.kubernetes.io/name`.
    const fn software(self) -> &'static str {
        match self {
            Self::Collector => "opentelemetry-collector",
            Self::Jaeger => "jaeger",
            Self::Prometheus => "prometheus",
            Self::Metrics => "scrape-targets",
            Self::Slo => "slo-rules",
            Self::Dashboard => "grafana-dashboards",
            Self::Sidecar => "opentelemetry-collector",
        }
    }
}

/// `<profile>-<component>`.
#[must_use]
pub fn child_name(profile: &ValidatedProfile, component: Component) -> String {
    format!("{}-{}", profile.name, component.as_str())
}

/// The address of a component's Service, from whatever namespace.
#[must_use]
pub fn service_url(profile: &ValidatedProfile, component: Component, port: u16) -> String {
    format!("http://{}.{}:{port}", child_name(profile, component), profile.namespace)
}

/// The labels of every child of this component.
#[must_use]
pub fn labels(profile: &ValidatedProfile, component: Component) -> BTreeMap<String, String> {
    let mut labels = pod_labels(profile, component);
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "telemetry-profile".to_owned());
    labels
}

/// The labels that pods of this component are selected by; they never change for a profile.
#[must_use]
pub fn pod_labels(profile: &ValidatedProfile, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), component.software().to_owned()),
        (INSTANCE_LABEL.to_owned(), profile.name.clone()),
        (COMPONENT_LABEL.to_owned(), component.as_str().to_owned()),
    ])
}

/// A selector of this component's pods.
#[must_use]
pub fn pod_selector(profile: &ValidatedProfile, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(pod_labels(profile, component)), match_expressions: None }
}

/// Metadata of the child `<profile>-<component>`.
#[must_use]
pub fn object_meta(profile: &ValidatedProfile, component: Component) -> ObjectMeta {
    named_meta(profile, component, child_name(profile, component))
}

/// Metadata of the child `<profile>-<component>` with the labels by which a Prometheus object selects it.
#[must_use]
pub fn monitor_meta(profile: &ValidatedProfile, component: Component) -> ObjectMeta {
    let mut metadata = object_meta(profile, component);
    if let Some(metrics) = &profile.metrics {
        add_labels(&mut metadata, &metrics.labels);
    }
    metadata
}

/// Adds a user's labels. Ours stay ours: nobody finds the child without them.
pub fn add_labels(metadata: &mut ObjectMeta, more: &BTreeMap<String, String>) {
    let labels = metadata.labels.get_or_insert_default();
    for (label, value) in more {
        labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
}

/// Metadata of a child with a name of its own.
#[must_use]
pub fn named_meta(profile: &ValidatedProfile, component: Component, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(profile.namespace.clone()),
        labels: Some(labels(profile, component)),
        owner_references: profile.uid.as_ref().map(|uid| {
            vec![OwnerReference {
                api_version: API_VERSION.to_owned(),
                kind: KIND.to_owned(),
                name: profile.name.clone(),
                uid: uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]
        }),
        ..ObjectMeta::default()
    }
}

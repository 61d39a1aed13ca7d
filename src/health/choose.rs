//! Prometheus objects of the Prometheus Operator → the Prometheus to ask about an object that it selects. Pure.
//!
//! The selectors' meaning is the Prometheus Operator's: one that is absent selects nothing, an empty one everything; an
//! absent selector of namespaces means the Prometheus object's own namespace.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::Value;

use super::Prometheus;
use super::subject::Monitor;
use crate::kinds::ChildKind;
use crate::kinds::{MANAGED_BY, MANAGED_BY_LABEL};
use crate::plan::prometheus::PORT;

/// A Prometheus object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What of its spec matters here.
    pub spec: Spec,
}

/// What matters of a Prometheus object's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pod_monitor_selector: Option<LabelSelector>,
    pod_monitor_namespace_selector: Option<LabelSelector>,
    service_monitor_selector: Option<LabelSelector>,
    service_monitor_namespace_selector: Option<LabelSelector>,
    rule_selector: Option<LabelSelector>,
    rule_namespace_selector: Option<LabelSelector>,
    route_prefix: Option<String>,
    service_name: Option<String>,
    shards: Option<i64>,
    listen_local: bool,
    web: Web,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Web {
    tls_config: Option<Value>,
}

/// Where the profile's objects are.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Who is to be asked about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Ask(Prometheus),
    /// One that selects the object, and that cannot be asked; the text says why.
    Closed(String),
    /// No Prometheus object selects it; a text for each, with what it wants.
    Unselected(Vec<String>),
    /// There are no Prometheus objects.
    NoObjects,
}

/// Chooses, in the order of namespace and name, the first Prometheus that selects the object and can be asked.
#[must_use]
pub fn choose(objects: &[Object], wanted: &Monitor, namespace: &Namespace) -> Choice {
    let mut objects: Vec<_> = objects.iter().collect();
    objects.sort_by_key(|object| (&object.namespace, &object.name));
    let mut closed = None;
    let mut misses = Vec::new();
    for object in objects {
        match object.miss(wanted, namespace) {
            Some(miss) => misses.push(miss),
            None => match object.closed() {
                Some(why) => closed = closed.or(Some(why)),
                None => return Choice::Ask(object.prometheus()),
            },
        }
    }
    match closed {
        Some(why) => Choice::Closed(why),
        None if misses.is_empty() => Choice::NoObjects,
        None => Choice::Unselected(misses),
    }
}

impl Object {
    /// True when it looks at the labels of namespaces.
    #[must_use]
    pub fn reads_namespaces(&self) -> bool {
        let spec = &self.spec;
        let selectors = [
            &spec.pod_monitor_namespace_selector,
            &spec.service_monitor_namespace_selector,
            &spec.rule_namespace_selector,
        ];
        selectors.into_iter().flatten().any(|selector| *selector != LabelSelector::default())
    }

    fn reference(&self) -> String {
        format!("Prometheus {}/{}", self.namespace, self.name)
    }

    /// Its first pod, by the name that the governing Service gives it. The Service itself stands for the pods of every
    /// Prometheus in the namespace.
    fn prometheus(&self) -> Prometheus {
        let scheme = if self.spec.web.tls_config.is_some() { "https" } else { "http" };
        let service = self.spec.service_name.as_deref().unwrap_or("prometheus-operated");
        let prefix = self.spec.route_prefix.as_deref().unwrap_or_default().trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Prometheus {
            name: self.reference(),
            url: format!(
                "{scheme}://prometheus-{}-0.{service}.{}.svc:{PORT}{slash}{prefix}",
                self.name, self.namespace
            ),
            managed: false,
        }
    }

    /// Why it cannot be asked.
    fn closed(&self) -> Option<String> {
        let reference = self.reference();
        if self.spec.listen_local {
            return Some(format!("{reference} listens for itself only (spec.listenLocal)"));
        }
        let shards = self.spec.shards.unwrap_or(1);
        (shards > 1)
            .then(|| format!("{reference} has spec.shards {shards}, and none of them knows every target"))
    }

    /// Why it does not select the object, and what to do; none when it does.
    fn miss(&self, wanted: &Monitor, namespace: &Namespace) -> Option<String> {
        let spec = &self.spec;
        let (field, selector, namespaces) = match wanted.kind {
            ChildKind::PodMonitor => {
                ("podMonitor", &spec.pod_monitor_selector, &spec.pod_monitor_namespace_selector)
            }
            ChildKind::ServiceMonitor => {
                ("serviceMonitor", &spec.service_monitor_selector, &spec.service_monitor_namespace_selector)
            }
            _ => ("rule", &spec.rule_selector, &spec.rule_namespace_selector),
        };
        let reference = self.reference();
        let Some(selector) = selector else {
            return Some(format!(
                "{reference} selects none at all: set its spec.{field}Selector, to {{}} for all"
            ));
        };
        let unmet = unmet(selector, &wanted.labels);
        if !unmet.is_empty() {
            return Some(format!("{reference} wants {}: {}", unmet.join(", "), advice(selector, field)));
        }
        match namespaces {
            None => (self.namespace != namespace.name).then(|| {
                format!(
                    "{reference} looks into its own namespace only: set its spec.{field}NamespaceSelector, to {{}} for all"
                )
            }),
            Some(selector) => {
                let unmet = self::unmet(selector, &namespace.labels);
                (!unmet.is_empty()).then(|| {
                    format!(
                        "{reference} looks into namespaces with {}: label the namespace {} so, or change its spec.{field}NamespaceSelector",
                        unmet.join(", "),
                        namespace.name
                    )
                })
            }
        }
    }
}

/// The requirements of a selector that the labels do not meet.
fn unmet(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Vec<String> {
    // An operator that is none selects nothing, as in Kubernetes.
    let Ok(requirements) = Selector::try_from(selector.clone()) else {
        return vec!["an unknown operator".to_owned()];
    };
    let unmet = requirements.into_iter().filter(|requirement| !requirement.matches(labels));
    unmet.map(|requirement| requirement.to_string()).collect()
}

/// Labels of the profile help unless the selector asks for a label that the operator itself sets.
fn advice(selector: &LabelSelector, field: &str) -> String {
    let labels = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten().map(|requirement| &requirement.key);
    let mut keys = labels.map(|(key, _)| key).chain(expressions);
    if keys.any(|key| key.starts_with("app.kubernetes.io/")) {
        return format!(
            "change its spec.{field}Selector, for example to {MANAGED_BY_LABEL}={MANAGED_BY}; the labels app.kubernetes.io/* are set by the operator"
        );
    }
    "add the label to spec.metrics.labels".to_owned()
}

#[cfg(test)]
mod tests;

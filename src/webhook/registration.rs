//! What the API server is told of the webhook. In: the profiles, the certificates that it shall trust. Out: the entries of the
//! MutatingWebhookConfiguration, written when they differ. Talks to the cluster (one object, by name).
//!
//! One entry for each profile, so that a pod which no profile selects never reaches the webhook. Where these would grow too
//! large for one object, one entry has all the namespaces. Every replica writes the same bytes.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::server::PATH;
use super::{Service, StoredProfile, WebhookError};
use crate::drift::first_difference;
use crate::inject::{INJECT_LABEL, wanted};
use crate::profile::{self, GROUP, TelemetryProfile};
use crate::validate::{is_label_key, label_selector};

/// Who writes the entries, so that they are told from what `kubectl apply` writes.
const MANAGER: &str = "telemetry-operator-webhook";
/// How long the API server waits for an answer, in seconds. Ours takes some milliseconds; a pod waits no longer than this.
const TIMEOUT: u8 = 2;
/// More profiles, or more bytes of entries, than this share one entry: an object is at most 1.5 MB large.
const MOST_ENTRIES: usize = 200;
const MOST_BYTES: usize = 800_000;

/// The object that tells the API server of the webhook.
pub(super) struct Registration {
    api: Api<MutatingWebhookConfiguration>,
    service: Service,
    /// What was written last, and the resourceVersion that it led to.
    written: Option<(Vec<Value>, Option<String>)>,
}

impl Registration {
    pub(super) fn new(client: Client, service: Service) -> Self {
        Self { api: Api::all(client), service, written: None }
    }

    /// The object as it is, or none when it is not there.
    pub(super) async fn read(&self) -> Result<Option<MutatingWebhookConfiguration>, WebhookError> {
        let name = &self.service.name;
        let failed = |source| WebhookError::Registration { name: name.clone(), source };
        self.api.get_opt(name).await.map_err(failed)
    }

    /// Writes these entries unless they are there.
    pub(super) async fn write(
        &mut self,
        live: &MutatingWebhookConfiguration,
        entries: Vec<Value>,
    ) -> Result<(), WebhookError> {
        // An entry that somebody else keeps beside ours cannot be removed: it is no reason to write again and again.
        let is_ours = |(written, version): &(Vec<Value>, Option<String>)| {
            *written == entries && *version == live.resource_version()
        };
        if is_written(live, &entries) || self.written.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        let name = &self.service.name;
        let body = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": entries,
        });
        let failed = |source| WebhookError::Registration { name: name.clone(), source };
        let parameters = PatchParams::apply(MANAGER).force();
        let now = self.api.patch(name, &parameters, &Patch::Apply(&body)).await.map_err(failed)?;
        tracing::info!(
            configuration = name,
            entries = entries.len(),
            "the API server is told of the webhook"
        );
        self.written = Some((entries, now.resource_version()));
        Ok(())
    }

    /// The entries for these profiles.
    pub(super) fn entries(&self, profiles: &[StoredProfile], bundle: &str) -> Vec<Value> {
        entries(profiles, &self.service, bundle)
    }
}

/// True when every entry says that the API server shall trust this authority.
pub(super) fn trusts(live: &MutatingWebhookConfiguration, authority: &str) -> bool {
    live.webhooks.iter().flatten().all(|entry| {
        let bundle = entry.client_config.ca_bundle.as_ref();
        bundle.is_some_and(|bundle| String::from_utf8_lossy(&bundle.0).contains(authority))
    })
}

/// True when nothing need be written.
fn is_written(live: &MutatingWebhookConfiguration, entries: &[Value]) -> bool {
    let Ok(live) = serde_json::to_value(&live.webhooks) else { return false };
    let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
    live.len() == entries.len()
        && entries.iter().all(|entry| {
            let found = live.iter().find(|found| found["name"] == entry["name"]);
            found.is_some_and(|found| first_difference(entry, found).is_none())
        })
}

fn entries(profiles: &[StoredProfile], service: &Service, bundle: &str) -> Vec<Value> {
    let mut wanting: Vec<_> = profiles
        .iter()
        .filter_map(|stored| stored.0.as_ref().ok())
        .filter(|profile| wanted(profile))
        // The API server would refuse all entries for one such key, and it selects no pod.
        .filter(|profile| is_well_formed(&profile.spec.selector))
        .collect();
    wanting.sort_by_key(|profile| (profile.namespace(), profile.name_any()));
    if wanting.len() <= MOST_ENTRIES {
        let entries: Vec<_> = wanting.iter().map(|profile| entry_of(profile, service, bundle)).collect();
        if entries.iter().map(|entry| entry.to_string().len()).sum::<usize>() <= MOST_BYTES {
            return entries;
        }
    }
    let namespaces: BTreeSet<_> = wanting.iter().filter_map(|profile| profile.namespace()).collect();
    let name = format!("all.sidecar.{GROUP}");
    let pods = LabelSelector { match_expressions: Some(vec![not_opted_out()]), ..LabelSelector::default() };
    vec![entry(&name, &namespaces, pods, service, bundle)]
}

fn entry_of(profile: &TelemetryProfile, service: &Service, bundle: &str) -> Value {
    let namespace = profile.namespace().unwrap_or_default();
    let name = format!("{}.{namespace}.sidecar.{GROUP}", profile.name_any());
    let mut pods = label_selector(&profile.spec.selector);
    pods.match_expressions.get_or_insert_default().push(not_opted_out());
    entry(&name, &BTreeSet::from([namespace]), pods, service, bundle)
}

fn not_opted_out() -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: INJECT_LABEL.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec!["false".to_owned()]),
    }
}

/// Every field is written, so that a default which somebody changes is put right, too.
fn entry(
    name: &str,
    namespaces: &BTreeSet<String>,
    pods: LabelSelector,
    service: &Service,
    bundle: &str,
) -> Value {
    json!({
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": {"name": service.name, "namespace": service.namespace, "path": PATH, "port": service.port},
            "caBundle": ByteString(bundle.as_bytes().to_vec()),
        },
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
        ]},
        "objectSelector": pods,
        "reinvocationPolicy": "IfNeeded",
        "rules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
            "scope": "Namespaced",
        }],
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT,
    })
}

fn is_well_formed(selector: &profile::LabelSelector) -> bool {
    let expressions = selector.match_expressions.iter().map(|expression| &expression.key);
    selector.match_labels.keys().chain(expressions).all(|key| is_label_key(key))
}

#[cfg(test)]
mod tests;

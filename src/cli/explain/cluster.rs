//! What `explain` asks a cluster. In: client, names. Out: the object, the profiles of its namespace, the way of injection.
//! Talks to the cluster, reading only.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

use super::{ExplainArgs, ExplainError, subject_of};
use crate::explain::{Candidate, Subject, WayReport};
use crate::observed::Way;
use crate::profile::TelemetryProfile;

/// The kinds that can be asked about: group, version, kind, and what kubectl calls it.
const KINDS: [(&str, &str, &str, &[&str]); 8] = [
    ("", "v1", "Pod", &["pod", "pods", "po"]),
    ("apps", "v1", "Deployment", &["deployment", "deployments", "deploy"]),
    ("apps", "v1", "StatefulSet", &["statefulset", "statefulsets", "sts"]),
    ("apps", "v1", "DaemonSet", &["daemonset", "daemonsets", "ds"]),
    ("apps", "v1", "ReplicaSet", &["replicaset", "replicasets", "rs"]),
    ("", "v1", "ReplicationController", &["replicationcontroller", "replicationcontrollers", "rc"]),
    ("batch", "v1", "Job", &["job", "jobs"]),
    ("batch", "v1", "CronJob", &["cronjob", "cronjobs", "cj"]),
];
/// The same for messages.
pub(super) const KINDS_IN_WORDS: &str =
    "pod, deployment, statefulset, daemonset, replicaset, replicationcontroller, job, cronjob";

/// The object that `KIND NAME` or `KIND/NAME` means.
pub(super) async fn subject(
    client: &Client,
    namespace: &str,
    words: &[String],
) -> Result<Subject, ExplainError> {
    let said = words.join(" ");
    let wrong = || ExplainError::Object(said.clone());
    let (kind, name) = match words {
        [kind, name] => (kind.as_str(), name.as_str()),
        [both] => both.split_once('/').ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let lower = kind.to_ascii_lowercase();
    let found = KINDS.iter().find(|(.., names)| names.contains(&lower.as_str()));
    let (group, version, kind, _) = found.ok_or_else(wrong)?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let what = format!("{kind}/{name} in namespace {namespace}");
    let api_error = |source| ExplainError::Api { what: what.clone(), source };
    let object = api.get_opt(name).await.map_err(api_error)?;
    let object = object.ok_or_else(|| ExplainError::Absent(what.clone()))?;
    let mut value =
        serde_json::to_value(&object).map_err(|error| api_error(kube::Error::SerdeError(error)))?;
    value["apiVersion"] = resource.api_version.into();
    value["kind"] = resource.kind.into();
    let mut subject = subject_of(&value, namespace).ok_or_else(|| ExplainError::NoPod(what.clone()))?;
    subject.exists = *kind == "Pod";
    Ok(subject)
}

/// The profiles of a namespace, each with the operator's settings, as far as the cluster tells them.
pub(super) async fn candidates(
    client: &Client,
    namespace: &str,
    args: &ExplainArgs,
) -> Result<Vec<Candidate>, ExplainError> {
    let api: Api<TelemetryProfile> = Api::namespaced(client.clone(), namespace);
    let what = format!("the TelemetryProfiles of namespace {namespace}");
    let profiles =
        api.list(&ListParams::default()).await.map_err(|source| ExplainError::Api { what, source })?;
    let mut candidates = Vec::new();
    for profile in profiles {
        let image = collector_image(client, namespace, &profile).await;
        candidates.push((profile, args.settings(image)));
    }
    Ok(candidates)
}

/// The image that the operator gives collectors whose profile names none: that of a collector of such a profile.
async fn collector_image(client: &Client, namespace: &str, profile: &TelemetryProfile) -> Option<String> {
    if profile.spec.collector.workload.image.is_some() {
        return None;
    }
    let name = format!("{}-collector", profile.metadata.name.as_deref()?);
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    // Without the right to read it, or before it is there, the default counts.
    let collector = api.get_opt(&name).await.ok()??;
    collector.spec?.template.spec?.containers.into_iter().next()?.image
}

/// By which way pods get their sidecar.
pub(super) async fn way(client: &Client, args: &ExplainArgs, candidates: &[Candidate]) -> WayReport {
    let settings = candidates.first().map_or_else(|| args.settings(None), |(_, settings)| settings.clone());
    let way = match crate::observe::injection::ask(client, &settings).await {
        Ok(way) => way,
        Err(error) => return WayReport::unknown(&error.to_string()),
    };
    let webhook = match way {
        Way::Webhook => match webhook_problem(client, &settings.installation.webhook()).await {
            Ok(problem) => problem,
            Err(error) => return WayReport::unknown(&error.to_string()),
        },
        Way::Policy(_) | Way::None => None,
    };
    WayReport::new(&way, webhook)
}

/// What keeps the API server from calling the operator's webhook.
async fn webhook_problem(client: &Client, name: &str) -> Result<Option<String>, kube::Error> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    Ok(match api.get_opt(name).await? {
        None => Some(format!("MutatingWebhookConfiguration/{name} is missing: nothing injects")),
        Some(found) if found.webhooks.as_ref().is_none_or(Vec::is_empty) => Some(format!(
            "MutatingWebhookConfiguration/{name} is empty: the operator has not registered its webhook"
        )),
        Some(_) => None,
    })
}

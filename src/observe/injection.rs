//! By which way pods get their sidecar in this cluster. In: client, settings. Out: a [`Way`]. Talks to the cluster (discovery,
//! and the policy, its binding and the webhook's configuration by name).

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;

use crate::drift::first_difference;
use crate::inject::policy;
use crate::observed::{Installed, Way};
use crate::settings::{InjectionMode, Settings};

/// What an administrator may set otherwise: where the policy is asked, and what becomes of a pod when it fails. Labels and
/// annotations are theirs, too.
const OF_THE_ADMINISTRATOR: [&str; 3] = ["matchConstraints", "failurePolicy", "reinvocationPolicy"];

/// The way, as the API server has it now.
///
/// # Errors
/// When the API server does not answer, or the account may not read the policy.
pub async fn ask(client: &Client, settings: &Settings) -> Result<Way, kube::Error> {
    match settings.injection {
        InjectionMode::None => return Ok(Way::None),
        InjectionMode::Webhook => return Ok(Way::Webhook),
        InjectionMode::Auto | InjectionMode::Policy => {}
    }
    let served = client.list_api_group_resources(policy::API).await?;
    if served.resources.iter().any(|resource| resource.kind == policy::POLICY_KIND) {
        let installed = installed(client, settings).await?;
        let missing = matches!(installed, Installed::Missing(_));
        // A cluster that was upgraded keeps its webhook until the policy is there: no pod is missed in between.
        if missing && settings.injection == InjectionMode::Auto && has_webhook(client, settings).await? {
            return Ok(Way::Webhook);
        }
        Ok(Way::Policy(installed))
    } else if settings.injection == InjectionMode::Policy {
        Ok(Way::Policy(Installed::Missing(format!("kind {} of {}", policy::POLICY_KIND, policy::API))))
    } else {
        Ok(Way::Webhook)
    }
}

/// Whether the policy and its binding are there, as this version has them.
async fn installed(client: &Client, settings: &Settings) -> Result<Installed, kube::Error> {
    for (kind, wanted) in
        [policy::POLICY_KIND, policy::BINDING_KIND].into_iter().zip(policy::documents(settings))
    {
        let resource = resource(kind);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let name = settings.installation.policy();
        let reference = format!("{kind}/{name}");
        let Some(live) = api.get_opt(&name).await? else {
            return Ok(Installed::Missing(reference));
        };
        let mut wanted = json!({"spec": wanted["spec"]});
        if let Some(spec) = wanted["spec"].as_object_mut() {
            spec.retain(|field, _| !OF_THE_ADMINISTRATOR.contains(&field.as_str()));
        }
        if let Some(field) = first_difference(&wanted, &json!({"spec": live.data["spec"]})) {
            return Ok(Installed::Differs(reference, field));
        }
    }
    Ok(Installed::Present)
}

/// True when the administrator has applied what the webhook needs.
async fn has_webhook(client: &Client, settings: &Settings) -> Result<bool, kube::Error> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    Ok(api.get_opt(&settings.installation.webhook()).await?.is_some())
}

fn resource(kind: &str) -> ApiResource {
    let (group, version) = policy::API.split_once('/').unwrap_or_default();
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

//! The pods of a profile's workloads, for saying why one of them is not there. In: client, the live Deployments. Out: pods.
//! Talks to the cluster (one list, and only when a Deployment has not all its pods).

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use crate::apply::Applied;
use crate::kinds::{ChildKind, MANAGED_BY, MANAGED_BY_LABEL};
use crate::plan::meta::INSTANCE_LABEL;
use crate::validate::ValidatedProfile;

/// Every pod of the profile's workloads; none, and no request, when all Deployments have rolled out.
///
/// # Errors
/// When they cannot be listed.
pub async fn pods(
    client: &Client,
    profile: &ValidatedProfile,
    applied: &Applied,
) -> Result<Vec<Pod>, kube::Error> {
    let mut deployments = applied.children.iter().filter(|child| child.kind == ChildKind::Deployment);
    if deployments.all(|child| rolled_out(&child.live)) {
        return Ok(Vec::new());
    }
    let params = ListParams::default()
        .labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{INSTANCE_LABEL}={}", profile.name));
    let api: Api<Pod> = Api::namespaced(client.clone(), &profile.namespace);
    Ok(api.list(&params).await?.items)
}

/// True when a live Deployment has as many pods available as it wants, all of the present template and no others.
#[must_use]
pub fn rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let updated = count("updatedReplicas");
    status["observedGeneration"].as_i64() >= deployment["metadata"]["generation"].as_i64()
        && wanted > 0
        && updated >= wanted
        // An old pod that is kept because the new one does not become ready: not what the profile asks for.
        && count("replicas") <= updated
        && count("availableReplicas") >= updated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_has_rolled_out_when_every_pod_is_new_and_available() {
        let live = |generation: i64, replicas: i64, updated: i64, available: i64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": updated,
                "availableReplicas": available}})
        };
        assert!(rolled_out(&live(2, 2, 2, 2)));
        for (what, live) in [
            ("the controller has not seen the change", live(1, 2, 2, 2)),
            ("one is not available", live(2, 2, 2, 1)),
            ("one is old", live(2, 3, 2, 2)),
            ("one is missing", live(2, 1, 1, 1)),
            ("nothing yet", json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}})),
        ] {
            assert!(!rolled_out(&live), "{what}");
        }
    }
}

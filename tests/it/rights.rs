//! Least privilege, by the API server's audit log: the operator asks for nothing that its roles do not give, and uses everything
//! that they do.

mod everywhere;
mod granted;
mod namespaced;
mod refused;
mod rules;
mod whole_run;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use telemetry_operator::inject::policy;
use telemetry_operator::installation::Installation;
use telemetry_operator::rbac::{self, Rules};
use telemetry_operator::settings::Settings;

use crate::common::*;
use crate::webhook;

/// The installation of a test that takes rights away: its account is refused things on purpose.
const REFUSED: &str = "refused";

/// An installation as the chart makes it, without its pods.
pub struct Installed<'a> {
    pub cluster: &'a Cluster,
    pub name: Installation,
    pub namespace: String,
    pub watched: Vec<String>,
    pub kubeconfig: PathBuf,
}

impl<'a> Installed<'a> {
    /// Account and roles. The operator's own namespace is called after the installation.
    pub fn new(cluster: &'a Cluster, name: &str, watched: &[&str], edit: impl FnOnce(&mut Rules)) -> Self {
        let namespace = format!("{name}-system");
        let name: Installation = name.parse().expect("a name");
        grant(cluster, &name, &namespace, watched, edit);
        let kubeconfig =
            cluster.plane.kubeconfig_for_service_account(&namespace, name.name()).expect("a kubeconfig");
        let watched = watched.iter().map(|name| (*name).to_owned()).collect();
        Self { cluster, name, namespace, watched, kubeconfig }
    }

    /// Roles once more, with these rules.
    fn grant(&self, edit: impl FnOnce(&mut Rules)) {
        let watched: Vec<_> = self.watched.iter().map(String::as_str).collect();
        grant(self.cluster, &self.name, &self.namespace, &watched, edit);
    }

    /// A running operator.
    fn operator(&self, arguments: &[&str]) -> Operator {
        let watched: Vec<_> = self.watched.iter().map(String::as_str).collect();
        let arguments = [&["--installation", self.name.name()], arguments].concat();
        let environment = [
            ("POD_NAMESPACE", self.namespace.as_str()),
            ("POD_NAME", self.name.name()),
            ("LEADER_ELECTION", "true"),
        ];
        Operator::start_as(self.cluster, &self.kubeconfig, &watched, &arguments, &environment, true)
    }

    /// A running operator whose webhook injects.
    fn operator_with_webhook(&self) -> Operator {
        let service = webhook::service(self.cluster, &self.namespace, &self.name.webhook());
        webhook::install(self.cluster, &service);
        let (listen, port) = (format!("127.0.0.1:{}", service.port), service.port.to_string());
        self.operator(&["--injection", "webhook", "--webhook-listen", &listen, "--webhook-port", &port])
    }

    /// The policy by which the API server injects, for the watched namespaces only, as the chart has it.
    fn inject_by_policy(&self) {
        let settings = Settings { installation: self.name.clone(), ..Settings::default() };
        let mut documents = policy::documents(&settings);
        if !self.watched.is_empty() {
            let requirement =
                json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": self.watched});
            documents[1]["spec"]["matchResources"] =
                json!({"namespaceSelector": {"matchExpressions": [requirement]}});
        }
        for document in documents {
            self.cluster.plane.apply(&document.to_string()).expect("the policy is accepted");
        }
    }

    /// What its account has asked for so far.
    fn requests(&self) -> BTreeSet<Request> {
        let account = (self.namespace.as_str(), self.name.name());
        let mut requests = requests(self.cluster.plane.audit_log());
        requests.retain(|request| request.who() == account);
        requests
    }
}

fn grant(
    cluster: &Cluster,
    name: &Installation,
    namespace: &str,
    watched: &[&str],
    edit: impl FnOnce(&mut Rules),
) {
    let mut rules = rbac::rules(name);
    edit(&mut rules);
    let documents: Vec<_> = roles(name, namespace, &rules, watched).iter().map(ToString::to_string).collect();
    cluster.plane.apply(&documents.join("\n---\n")).expect("the roles are accepted");
}

/// Waits until a condition of a profile has these words.
async fn told(client: &kube::Client, namespace: &str, profile: &str, kind: &str, words: &[&str]) {
    eventually(&format!("{kind} of {profile} with {words:?}"), || async {
        let profile = profiles(client, namespace).get(profile).await.map_err(|error| error.to_string())?;
        let conditions = profile.status.map(|status| status.conditions).unwrap_or_default();
        let found = json!(conditions.iter().find(|condition| condition.kind == kind)).to_string();
        if words.iter().all(|word| found.contains(word)) { Ok(()) } else { Err(found) }
    })
    .await;
}

//! NetworkPolicies: who may talk to whom. In: the validated profile and the arrows of one component. Out: the policy
//! that allows these arrows, name resolution for what sends, and nothing else. No cluster.
//!
//! Every list in a NetworkPolicy is atomic for the API server, so what it would fill in (`protocol`) is spelled out.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{self, Component};
use super::{Child, PlanError};
use crate::kinds::ChildKind;
use crate::validate::ValidatedProfile;

/// Label that Kubernetes itself puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Ports of name resolution: the standard one, and that of OpenShift's DNS pods. Network plugins that judge a connection
/// after the Service's address was replaced see the pod's port.
const DNS: [u16; 2] = [53, 5353];

/// The other end of an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The application's pods.
    Application,
    /// Pods of another component of the same profile.
    Component(Component),
    /// Pods of any namespace whose `app.kubernetes.io/name` is this.
    Software(&'static str),
    /// Any address.
    Anywhere,
}

/// One allowed direction: from or to whom, at which TCP ports.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    peer: Option<NetworkPolicyPeer>,
    ports: Vec<NetworkPolicyPort>,
}

impl Arrow {
    /// An arrow at these TCP ports, at least one: a policy reads none as all of them.
    #[must_use]
    pub fn new(profile: &ValidatedProfile, peer: Peer, ports: &[u16]) -> Self {
        let pods =
            |selector| NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() };
        let peer = match peer {
            Peer::Application => Some(pods(profile.selector.clone())),
            Peer::Component(component) => Some(pods(meta::pod_selector(profile, component))),
            Peer::Software(name) => Some(NetworkPolicyPeer {
                namespace_selector: Some(LabelSelector::default()),
                ..pods(one_label("app.kubernetes.io/name", name))
            }),
            Peer::Anywhere => None,
        };
        Self { peer, ports: ports.iter().map(|number| port("TCP", *number)).collect() }
    }

    /// The arrows to an `http://` or `https://` address outside the profile.
    ///
    /// A policy sees a connection after a Service's address has become a pod's, and the pod's port may be another one
    /// (`:80` in front of `:8080`). So where the host reads as a Service's name, any port of its namespace's pods is
    /// allowed besides.
    #[must_use]
    pub fn to_url(profile: &ValidatedProfile, url: &str) -> Vec<Self> {
        let (host, number) = host_and_port(url);
        let mut arrows = vec![Self::new(profile, Peer::Anywhere, &[number])];
        arrows.extend(service_namespace(profile, host).map(|namespace| Self {
            peer: Some(NetworkPolicyPeer {
                namespace_selector: Some(one_label(NAMESPACE_NAME, namespace)),
                ..NetworkPolicyPeer::default()
            }),
            ports: Vec::new(),
        }));
        arrows
    }

    fn peers(&self) -> Option<Vec<NetworkPolicyPeer>> {
        self.peer.clone().map(|peer| vec![peer])
    }

    fn ports(&self) -> Option<Vec<NetworkPolicyPort>> {
        (!self.ports.is_empty()).then(|| self.ports.clone())
    }
}

/// The NetworkPolicy `<profile>-<component>` of this component's pods. Name resolution is added where there is egress.
///
/// # Errors
/// When the object cannot be written.
pub fn policy(
    profile: &ValidatedProfile,
    component: Component,
    ingress: &[Arrow],
    egress: &[Arrow],
) -> Result<Child, PlanError> {
    let ports = DNS.into_iter().flat_map(|number| [port("UDP", number), port("TCP", number)]);
    let resolve = Arrow { peer: None, ports: ports.collect() };
    let ingress: Vec<_> = ingress
        .iter()
        .map(|arrow| NetworkPolicyIngressRule { from: arrow.peers(), ports: arrow.ports() })
        .collect();
    let egress: Vec<_> = egress
        .iter()
        .chain((!egress.is_empty()).then_some(&resolve))
        .map(|arrow| NetworkPolicyEgressRule { to: arrow.peers(), ports: arrow.ports() })
        .collect();
    Child::new(
        ChildKind::NetworkPolicy,
        &NetworkPolicy {
            metadata: meta::object_meta(profile, component),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(meta::pod_selector(profile, component)),
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                ingress: (!ingress.is_empty()).then_some(ingress),
                egress: (!egress.is_empty()).then_some(egress),
            }),
        },
    )
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number.into())),
        end_port: None,
    }
}

fn one_label(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        match_expressions: None,
    }
}

/// Host and port of a checked URL.
fn host_and_port(url: &str) -> (&str, u16) {
    let default = if url.starts_with("https://") { 443 } else { 80 };
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    match authority.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, port),
        _ => (authority, default),
    }
}

/// The namespace of the Service that a host name stands for: `tempo`, `tempo.monitoring`, `tempo.monitoring.svc` or one
/// with the cluster's domain behind it. Two labels may be a public name as well; a namespace of that name is then unlikely.
fn service_namespace<'a>(profile: &'a ValidatedProfile, host: &'a str) -> Option<&'a str> {
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    match labels.as_slice() {
        [name] if !name.contains(':') => Some(&profile.namespace),
        [_, namespace] | [_, namespace, "svc", ..] => Some(namespace),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

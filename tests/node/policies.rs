//! NetworkPolicies against what really happens. In: a namespace. Out: whether each policy selects the pods that it means, whether
//! every connection that the kernel of its pods knows is allowed, and whether strangers are kept out. It talks to the cluster.
//!
//! Nothing on the node enforces NetworkPolicies: what an enforcing network would do is worked out here, from the objects as the
//! API server has them, after a Service's address has become a pod's, as such networks do. Health probes are no part of it: they
//! come from the node, which may reach its own pods always.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{Value, json};
use testbed::Stack;

use crate::common::Site;
use crate::kernel;

const COMPONENT: &str = "app.kubernetes.io/component";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// A direction of a policy: its type, the field of its rules and the field of a rule's peers.
type Direction = (&'static str, &'static str, &'static str);
const INGRESS: Direction = ("Ingress", "ingress", "from");
const EGRESS: Direction = ("Egress", "egress", "to");

/// A connection as policies see it: who, to whom, where. A server that is no pod is `None`.
struct Connection<'a> {
    client: &'a Value,
    server: Option<&'a Value>,
    port: u16,
    protocol: &'static str,
}

/// The cluster at a moment.
struct Cluster {
    pods: Vec<Value>,
    policies: Vec<Value>,
    namespaces: BTreeMap<String, Value>,
    /// Where the API server's Service leads.
    api_server: (SocketAddr, u16),
}

/// Checks everything about the policies of a namespace. `arrows` are connections that must have been seen there: client and server by
/// their component, or by `app.kubernetes.io/name` where they have none, and the port.
pub fn check(site: &Site, arrows: &[(&str, &str, u16)]) {
    let (mut seen, mut forbidden) = (BTreeSet::new(), BTreeSet::new());
    let cluster = site.wait(&format!("connections {arrows:?}"), || {
        let cluster = Cluster::of(site.stack);
        for connection in
            cluster.connections(site.namespace).iter().chain(&cluster.resolutions(site.namespace))
        {
            let directions =
                [EGRESS, INGRESS].into_iter().filter(|direction| !cluster.allows(connection, *direction));
            forbidden.extend(directions.map(|direction| (direction.0, connection.names())));
            seen.insert(connection.names());
        }
        let missing: Vec<_> = arrows.iter().filter(|arrow| !seen.contains(&owned(**arrow))).collect();
        anyhow::ensure!(missing.is_empty(), "not seen: {missing:?}; seen: {seen:?}");
        Ok(Some(cluster))
    });
    assert!(forbidden.is_empty(), "policies forbid what happens: {forbidden:#?}");
    cluster.selects_the_pods_of_its_component(site.namespace);
    cluster.keeps_strangers_out(site.namespace);
}

fn owned((client, server, port): (&str, &str, u16)) -> (String, String, u16) {
    (client.to_owned(), server.to_owned(), port)
}

/// Whether the operator runs the pod.
fn is_ours(pod: &Value) -> bool {
    pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "telemetry-operator"
}

fn name(pod: &Value) -> String {
    let labels = &pod["metadata"]["labels"];
    let name = labels[COMPONENT].as_str().filter(|_| is_ours(pod));
    name.or(labels["app.kubernetes.io/name"].as_str()).unwrap_or_default().to_owned()
}

impl Connection<'_> {
    fn names(&self) -> (String, String, u16) {
        (name(self.client), self.server.map_or_else(|| "outside".to_owned(), name), self.port)
    }
}

impl Cluster {
    fn of(stack: &Stack) -> Self {
        let items = |what: &str| {
            let list: Value =
                serde_json::from_str(&stack.kubectl(&format!("get {what} -A -o json")).unwrap()).unwrap();
            list["items"].as_array().unwrap().clone()
        };
        let namespaces = items("namespaces").into_iter().map(|namespace| {
            (
                namespace["metadata"]["name"].as_str().unwrap().to_owned(),
                namespace["metadata"]["labels"].clone(),
            )
        });
        let service = stack.get("default", "service/kubernetes").unwrap();
        let slices = stack.get("default", "endpointslices/kubernetes").unwrap();
        let address = format!("{}:443", service["spec"]["clusterIP"].as_str().unwrap());
        let port = u16::try_from(slices["ports"][0]["port"].as_u64().unwrap()).unwrap();
        Self {
            pods: items("pods"),
            policies: items("networkpolicies"),
            namespaces: namespaces.collect(),
            api_server: (address.parse().unwrap(), port),
        }
    }

    fn pods_of(&self, namespace: &str) -> impl Iterator<Item = &Value> {
        self.pods.iter().filter(move |pod| {
            pod["metadata"]["namespace"] == namespace && pod["status"]["phase"] == "Running"
        })
    }

    /// The TCP connections from and to pods of a namespace, as the servers' pods see them, and those to the API server.
    fn connections(&self, namespace: &str) -> Vec<Connection<'_>> {
        let processes = kernel::processes();
        let by_address: BTreeMap<_, _> =
            self.pods.iter().filter_map(|pod| Some((pod["status"]["podIP"].as_str()?, pod))).collect();
        let mut found = Vec::new();
        for pod in by_address.values().copied() {
            let Some(process) = processes.get(pod["metadata"]["uid"].as_str().unwrap()) else { continue };
            let sockets = kernel::sockets(process[0]);
            let listening: BTreeSet<u16> =
                sockets.iter().filter(|socket| socket.listens).map(|socket| socket.local.port()).collect();
            for socket in sockets.iter().filter(|socket| !socket.listens) {
                let port = socket.local.port();
                if socket.remote == self.api_server.0 {
                    found.push(Connection {
                        client: pod,
                        server: None,
                        port: self.api_server.1,
                        protocol: "TCP",
                    });
                } else if let (Some(client), true) =
                    (by_address.get(&*socket.remote.ip().to_string()).copied(), listening.contains(&port))
                {
                    found.push(Connection { client, server: Some(pod), port, protocol: "TCP" });
                }
            }
        }
        let here = |pod: &Value| pod["metadata"]["namespace"] == namespace;
        found.retain(|connection| here(connection.client) || connection.server.is_some_and(here));
        found
    }

    /// Name resolution by each pod, which leaves no connection behind.
    fn resolutions(&self, namespace: &str) -> Vec<Connection<'_>> {
        let server = self.pods.iter().find(|pod| pod["metadata"]["labels"]["k8s-app"] == "kube-dns").unwrap();
        let ports = server["spec"]["containers"][0]["ports"].as_array().unwrap();
        let port = |protocol| {
            ports.iter().find(|port| port["protocol"] == protocol).unwrap()["containerPort"].as_u64()
        };
        // Jaeger sends nothing unless a Prometheus is there to be asked.
        let sends = |pod: &&Value| {
            name(pod) != "jaeger" || self.policy(namespace, "jaeger")["spec"]["egress"] != Value::Null
        };
        let pods: Vec<_> = self.pods_of(namespace).filter(sends).collect();
        let resolve = |protocol| {
            let port = u16::try_from(port(protocol).unwrap()).unwrap();
            pods.iter().map(move |client| Connection { client, server: Some(server), port, protocol })
        };
        resolve("UDP").chain(resolve("TCP")).collect()
    }

    fn policy(&self, namespace: &str, component: &str) -> &Value {
        let mut own = self.policies_of(namespace);
        own.find(|policy| policy["metadata"]["labels"][COMPONENT] == component).unwrap()
    }

    fn policies_of(&self, namespace: &str) -> impl Iterator<Item = &Value> {
        self.policies.iter().filter(move |policy| policy["metadata"]["namespace"] == namespace)
    }

    /// Each component has one policy, which selects its pods and no others; what the operator did not make is not isolated.
    fn selects_the_pods_of_its_component(&self, namespace: &str) {
        for pod in self.pods_of(namespace) {
            let labels = &pod["metadata"]["labels"];
            let of = |labels: &Value| [INSTANCE, COMPONENT].map(|label| labels[label].clone());
            let selecting: Vec<_> = self
                .policies_of(namespace)
                .filter(|policy| selects(&policy["spec"]["podSelector"], labels))
                .map(|policy| of(&policy["metadata"]["labels"]))
                .collect();
            let wanted = if is_ours(pod) { vec![of(labels)] } else { vec![] };
            assert_eq!(selecting, wanted, "policies that select {}", pod["metadata"]["name"]);
        }
    }

    /// A pod that is neither the application nor a component, in this namespace or in another one, reaches no component.
    fn keeps_strangers_out(&self, namespace: &str) {
        for server in self.pods_of(namespace).filter(|pod| is_ours(pod)) {
            let ports = server["spec"]["containers"][0]["ports"].as_array().unwrap();
            for port in
                ports.iter().map(|port| u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap())
            {
                for place in [namespace, "default"] {
                    let stranger = json!({"metadata": {"namespace": place, "labels": {"app": "stranger"}}});
                    let connection =
                        Connection { client: &stranger, server: Some(server), port, protocol: "TCP" };
                    assert!(
                        !self.allows(&connection, INGRESS),
                        "a stranger in {place} reaches {:?}",
                        connection.names()
                    );
                }
            }
        }
    }

    fn allows(&self, connection: &Connection, (kind, rules, peers): Direction) -> bool {
        let (here, there) = if kind == "Ingress" {
            (connection.server, Some(connection.client))
        } else {
            (Some(connection.client), connection.server)
        };
        // Only pods are isolated.
        let Some(here) = here else { return true };
        let namespace = here["metadata"]["namespace"].as_str().unwrap();
        let isolating: Vec<_> = self
            .policies_of(namespace)
            .filter(|policy| policy["spec"]["policyTypes"].as_array().unwrap().contains(&json!(kind)))
            .filter(|policy| selects(&policy["spec"]["podSelector"], &here["metadata"]["labels"]))
            .collect();
        let rules = isolating.iter().filter_map(|policy| policy["spec"][rules].as_array()).flatten();
        isolating.is_empty()
            || rules.into_iter().any(|rule| {
                any_or_absent(&rule[peers], |peer| there.is_some_and(|there| self.is(peer, there, namespace)))
                    && any_or_absent(&rule["ports"], |port| {
                        port["protocol"] == connection.protocol && port["port"] == connection.port
                    })
            })
    }

    /// Whether a pod is the peer of a policy in `namespace`.
    fn is(&self, peer: &Value, pod: &Value, namespace: &str) -> bool {
        assert!(peer["ipBlock"].is_null(), "not worked out here: {peer}");
        let place = pod["metadata"]["namespace"].as_str().unwrap();
        let place_fits = match &peer["namespaceSelector"] {
            Value::Null => place == namespace,
            selector => selects(selector, &self.namespaces[place]),
        };
        place_fits
            && (peer["podSelector"].is_null() || selects(&peer["podSelector"], &pod["metadata"]["labels"]))
    }
}

/// No list means everything.
fn any_or_absent(list: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_none_or(|list| list.iter().any(holds))
}

/// What a label selector means.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal =
        selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| &labels[key] == value);
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal
        && expressions.into_iter().all(|expression| {
            let label = &labels[expression["key"].as_str().unwrap()];
            let listed = expression["values"].as_array().is_some_and(|values| values.contains(label));
            match expression["operator"].as_str().unwrap() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => !label.is_null(),
                "DoesNotExist" => label.is_null(),
                other => panic!("no such operator: {other}"),
            }
        })
}

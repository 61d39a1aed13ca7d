//! Rules and requests, compared. In: an installation's rules, what its account has asked for. Out: rights that were not used,
//! requests that no right covers. No cluster.

use std::collections::BTreeSet;

use telemetry_operator::installation::Installation;
use telemetry_operator::rbac::{self, Right};

use crate::common::Request;

/// The API server checks this one where a plugin asks for it, and writes nothing of that into its audit log:
/// `refused` shows that it is needed.
const WITHOUT_A_REQUEST: (&str, &str) = ("update", "telemetry-operator.dev/telemetryprofiles/finalizers");

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// In the namespaces of profiles, or all at once.
    Profiles,
    /// On what is in no namespace, by name.
    NoNamespace,
    /// In all namespaces at once, or on namespaces.
    Everything,
    /// In the operator's own namespace.
    Own,
}

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granted {
    scope: Scope,
    verb: String,
    resource: String,
    name: Option<String>,
}

/// Everything that an operator's account may do.
pub fn granted(installation: &Installation) -> BTreeSet<Granted> {
    let rules = rbac::rules(installation);
    let scoped = [
        (Scope::Profiles, rules.profiles),
        (Scope::Profiles, rules.restarts),
        (Scope::NoNamespace, rules.policy),
        (Scope::NoNamespace, rules.webhook),
        (Scope::Own, rules.certificates),
        (Scope::Everything, rules.discovery),
        (Scope::Own, rules.own),
    ];
    scoped.iter().flat_map(|(scope, rights)| rights.iter().flat_map(|right| each(*scope, right))).collect()
}

fn each(scope: Scope, right: &Right) -> Vec<Granted> {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
    let names = right.rule.resource_names.clone();
    let names = names.map_or(vec![None], |names| names.into_iter().map(Some).collect());
    let mut all = Vec::new();
    for group in list(&right.rule.api_groups) {
        for resource in list(&right.rule.resources) {
            for verb in &right.rule.verbs {
                let resource = format!("{group}/{resource}");
                let granted = |name: &Option<String>| Granted {
                    scope,
                    verb: verb.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                };
                all.extend(names.iter().map(granted));
            }
        }
    }
    all
}

/// The same for every installation: without its name.
impl std::fmt::Display for Granted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {} ({:?})", self.verb, self.resource, self.scope)
    }
}

impl Granted {
    /// True when this right is what the request needs.
    fn covers(&self, request: &Request) -> bool {
        let in_scope = match self.scope {
            Scope::Profiles | Scope::Everything => true,
            Scope::NoNamespace => request.namespace.is_empty(),
            Scope::Own => request.namespace == request.who().0,
        };
        in_scope
            && self.verb == request.verb
            && self.resource == request.resource
            && self.name.as_ref().is_none_or(|name| *name == request.name)
    }

    fn makes_a_request(&self) -> bool {
        (self.verb.as_str(), self.resource.as_str()) != WITHOUT_A_REQUEST
    }
}

/// The rights that none of the requests needs.
pub fn unused<'a>(
    granted: &BTreeSet<Granted>,
    requests: impl Iterator<Item = &'a Request>,
) -> BTreeSet<Granted> {
    let mut unused = granted.clone();
    unused.retain(Granted::makes_a_request);
    for request in requests {
        unused.retain(|right| !right.covers(request));
    }
    unused
}

/// The requests that no right covers, or that were refused all the same.
pub fn uncovered<'a>(
    granted: &BTreeSet<Granted>,
    requests: impl Iterator<Item = &'a Request>,
) -> Vec<&'a Request> {
    requests
        .filter(|request| request.refusal.is_some() || !granted.iter().any(|right| right.covers(request)))
        .collect()
}

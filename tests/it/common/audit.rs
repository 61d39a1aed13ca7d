//! What the operators' accounts have asked an API server for, by its audit log. In: a log. Out: requests, refusals. No cluster.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::{Cluster, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE};

/// A request for an object or a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `system:serviceaccount:` namespace `:` name.
    pub account: String,
    pub verb: String,
    /// Group/resource, and /subresource where there is one.
    pub resource: String,
    /// Empty for what is in no namespace, and for a list of all namespaces.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
    /// Why the API server refused it.
    pub refusal: Option<String>,
}

impl Request {
    /// Namespace and name of the account.
    pub fn who(&self) -> (&str, &str) {
        let rest = self.account.strip_prefix(ACCOUNT).unwrap_or_default();
        rest.split_once(':').unwrap_or_default()
    }
}

const ACCOUNT: &str = "system:serviceaccount:";

/// Every request of an account, each once. Making an object by an apply counts as its creation, too: the API server asks for
/// both rights.
pub fn requests(log: &Path) -> BTreeSet<Request> {
    let file = File::open(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let mut found = BTreeSet::new();
    for line in BufReader::new(file).lines() {
        let line = line.expect("a line");
        // The last line may be half written.
        if let Some(event) =
            line.contains(ACCOUNT).then(|| serde_json::from_str::<Value>(&line).ok()).flatten()
        {
            note(&event, &mut found);
        }
    }
    found
}

fn note(event: &Value, found: &mut BTreeSet<Request>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let account = text(&event["user"]["username"]);
    // What every account may ask for, discovery for example, is about no object.
    if !account.starts_with(ACCOUNT) || object["resource"].is_null() {
        return;
    }
    let subresource = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
    let code = &event["responseStatus"]["code"];
    let request = Request {
        account,
        verb: text(&event["verb"]),
        resource: format!("{}/{}{subresource}", text(&object["apiGroup"]), text(&object["resource"])),
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        refusal: (*code == 403).then(|| text(&event["responseStatus"]["message"])),
    };
    if request.verb == "patch" && *code == 201 {
        found.insert(Request { verb: "create".to_owned(), ..request.clone() });
    }
    found.insert(request);
}

impl Cluster {
    /// Finished writes by the operator's account in these namespaces, from the API server's audit log.
    pub fn operator_writes(&self, namespaces: &[&str]) -> Vec<String> {
        let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
        let log = std::fs::read_to_string(self.plane.audit_log()).expect("the audit log");
        log.lines()
            // The last line may be half written.
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| {
                event["stage"] == "ResponseComplete" && event["user"]["username"] == user.as_str()
            })
            .filter(|event| {
                ["create", "update", "patch", "delete", "deletecollection"]
                    .contains(&event["verb"].as_str().unwrap_or_default())
            })
            .filter(|event| {
                namespaces.contains(&event["objectRef"]["namespace"].as_str().unwrap_or_default())
            })
            .map(|event| {
                format!(
                    "{} {}/{} {} -> {}",
                    event["verb"].as_str().unwrap_or_default(),
                    event["objectRef"]["resource"].as_str().unwrap_or_default(),
                    event["objectRef"]["name"].as_str().unwrap_or_default(),
                    event["objectRef"]["subresource"].as_str().unwrap_or_default(),
                    event["responseStatus"]["code"],
                )
            })
            .collect()
    }

    /// What the operator's account was not allowed to do, from the API server's audit log.
    pub fn operator_denials(&self) -> Vec<Request> {
        let requests = requests(self.plane.audit_log()).into_iter();
        let is_operators = |request: &Request| request.who() == (OPERATOR_NAMESPACE, OPERATOR_ACCOUNT);
        requests.filter(|request| request.refusal.is_some() && is_operators(request)).collect()
    }
}

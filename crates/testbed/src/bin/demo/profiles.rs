//! The two profiles of the demo. In: the stack. Out: the profiles applied, and what the API server says of them. It talks to
//! the cluster.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{OPERATOR_NAMESPACE, Stack, victoria_logs};

use crate::show::title;

/// A profile and what it is for.
pub struct Profile {
    /// Of the profile, its children and its application.
    pub namespace: &'static str,
    /// Of the profile, and of its application's Deployment.
    pub name: &'static str,
    /// In the repository.
    file: &'static str,
}

/// The first application's.
pub const EXPORTER: Profile = Profile {
    namespace: "letterboxd",
    name: "export-trakt-4-letterboxd",
    file: "examples/export-trakt-4-letterboxd.yaml",
};

/// The operator's own.
pub const OPERATOR: Profile = Profile {
    namespace: OPERATOR_NAMESPACE,
    name: "telemetry-operator",
    file: "examples/telemetry-operator.yaml",
};

/// What the demo changes in both: there is no other Prometheus here, somebody waits for samples and wants every trace, and
/// there is a log store.
fn changes() -> Value {
    json!({"spec": {
        "metrics": {"prometheus": "Managed", "interval": "10s"},
        "traces": {"sampling": {"ratio": "1"}},
        "logs": {"store": "VictoriaLogs", "endpoint": victoria_logs::ENDPOINT},
        "dashboards": {"dataSources": "Provisioned"},
    }})
}

/// Applies the example, and then the demo's changes.
pub fn apply(stack: &Stack, profile: &Profile) -> Result<()> {
    stack.apply_file(Some(profile.namespace), profile.file)?;
    stack.patch(profile.namespace, &format!("tp/{}", profile.name), &changes())
}

/// Both profiles; conditions and children of the application's.
pub fn show(stack: &Stack) -> Result<()> {
    title("two profiles, an application's and the operator's own: kubectl get tp -A");
    println!("{}", stack.kubectl("get tp -A")?.trim_end());
    println!("\nThey are {} and {}, patched for the demo with", EXPORTER.file, OPERATOR.file);
    println!("{}", changes());
    let profile = stack.get(EXPORTER.namespace, &format!("tp/{}", EXPORTER.name))?;
    title("the application's conditions");
    for condition in profile["status"]["conditions"].as_array().into_iter().flatten() {
        let word = |key: &str| condition[key].as_str().unwrap_or_default();
        println!("{:<23}{:<9}{}", word("type"), word("status"), word("reason"));
    }
    title(&format!("its children, each called {}-…", EXPORTER.name));
    for (kind, names) in children(&profile) {
        println!("{kind:<23}{}", names.join(", "));
    }
    Ok(())
}

/// The names of the children of each kind, without the profile's name.
fn children(profile: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    let children = profile["status"]["children"].as_array().into_iter().flatten();
    for (kind, name) in children.filter_map(|child| child.as_str()?.split_once('/')) {
        let short = name.strip_prefix(EXPORTER.name).and_then(|rest| rest.strip_prefix('-'));
        kinds.entry(kind).or_default().push(short.unwrap_or(name));
    }
    kinds
}

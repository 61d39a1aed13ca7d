//! By which way pods get their sidecar, in words. In: what was seen. Out: [`WayReport`]. Pure, no cluster.

use serde::Serialize;

use crate::inject::{INSTALL_POLICY, INSTALL_WEBHOOK};
use crate::observed::{Installed, Way};

/// The way of injection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayReport {
    /// `Policy`, `Webhook`, `None` or `Unknown`.
    pub way: &'static str,
    /// Whether a pod that is made now would be injected; none when nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub works: Option<bool>,
    /// What is so.
    pub message: String,
    /// What to do about it; empty when nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl WayReport {
    /// From what was seen. `webhook` is what is wrong with the webhook's registration, if it matters.
    #[must_use]
    pub fn new(way: &Way, webhook: Option<String>) -> Self {
        let (word, works, message, fix) = match (way, webhook) {
            (Way::Policy(Installed::Present), _) => (
                "Policy",
                true,
                "the API server injects by the admission policy, also without a running operator".to_owned(),
                String::new(),
            ),
            (Way::Policy(Installed::Missing(what)), _) => {
                ("Policy", false, format!("{what} is missing: nothing injects"), INSTALL_POLICY.to_owned())
            }
            (Way::Policy(Installed::Differs(what, field)), _) => (
                "Policy",
                false,
                format!("{what} is not that of this version: {field} differs"),
                INSTALL_POLICY.to_owned(),
            ),
            (Way::Webhook, None) => (
                "Webhook",
                true,
                "the operator's webhook injects; pods that are made while it does not run go without"
                    .to_owned(),
                String::new(),
            ),
            (Way::Webhook, Some(problem)) => {
                let fix = format!("{INSTALL_WEBHOOK}, and look at the operator's log");
                ("Webhook", false, problem, fix)
            }
            (Way::None, _) => (
                "None",
                false,
                "injection is off: the operator runs with --injection none".to_owned(),
                "inject the manifests: telemetry-operator inject -f FILE".to_owned(),
            ),
        };
        Self { way: word, works: Some(works), message, fix }
    }

    /// When it cannot be told, and why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self { way: "Unknown", works: None, message: format!("cannot be told: {why}"), fix: String::new() }
    }
}

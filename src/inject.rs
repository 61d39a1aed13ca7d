//! What the sidecar is and which pods get it. Pure: (profile, pod) → decision and patch, and from the same source the
//! `MutatingAdmissionPolicy` by which the API server does the same without a running operator.
//!
//! In: a profile as it is stored and a pod as raw JSON. Out: a [`Decision`], a JSON patch, the [`State`] of a pod that runs.
//! No cluster. Unlike `plan` this reads the raw spec, as the API server does: both must come to the same pod, for a profile
//! that `validate` refuses, too.

mod compare;
mod facts;
mod patch;
pub mod policy;
mod remove;
mod rules;
mod shape;
mod tree;

use json_patch::Patch;
use serde_json::{Value, json};

pub use facts::deployment;
pub use remove::remove;
use rules::Rule;
pub use rules::{decide, meets, wanted};

use crate::plan::short_hash;
use crate::profile::TelemetryProfile;
use crate::settings::Settings;

/// Name of the sidecar's container and of its volume in the application's pods.
pub const SIDECAR: &str = "telemetry-sidecar";
/// Label on injected pods: the profile whose sidecar it is.
pub const SIDECAR_LABEL: &str = "telemetry-operator.dev/sidecar";
/// What an administrator does who lacks the admission policy of this version.
pub const INSTALL_POLICY: &str = "`helm upgrade` the operator's release with --set injection.mode=Policy";
/// What an administrator does who lacks the objects of the webhook.
pub const INSTALL_WEBHOOK: &str = "`helm upgrade` the operator's release with --set injection.mode=Webhook";
/// Annotation on injected pods: the version of the sidecar's configuration.
pub const VERSION_ANNOTATION: &str = "telemetry-operator.dev/sidecar-version";
/// Annotation on injected pods: what was added by name, so that it can be told from the pod's own.
pub const RECORD_ANNOTATION: &str = "telemetry-operator.dev/injected";
/// Label by which a pod opts out, with the value `false`.
pub const INJECT_LABEL: &str = "telemetry-operator.dev/inject";

/// The injection of one profile.
#[derive(Clone, Debug)]
pub struct Injector {
    profile: TelemetryProfile,
    settings: Settings,
}

/// Whether a pod that is about to be made gets the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Inject,
    /// The profile does not select it, or wants no sidecar.
    NotSelected,
    /// It opts out by label.
    OptedOut,
    /// It has one.
    Injected,
    /// It cannot have one.
    Refused(Refusal),
}

/// Why a selected pod cannot have a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One fixed CamelCase word.
    pub reason: &'static str,
    /// What is so, and what to do.
    pub message: String,
}

/// The state of a pod that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has the present sidecar.
    Injected,
    /// It has an older one: what differs.
    Outdated(String),
    /// It has none: why it could not be injected, or none when it was missed.
    Missing(Option<Refusal>),
    /// It opts out by label.
    OptedOut,
}

impl Injector {
    /// The injection of this profile.
    #[must_use]
    pub fn new(profile: &TelemetryProfile, settings: &Settings) -> Self {
        Self { profile: profile.clone(), settings: settings.clone() }
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.profile.metadata.name.as_deref().unwrap_or_default()
    }

    /// True when the profile wants a sidecar.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        wanted(&self.profile)
    }

    /// True when the profile selects pods with these labels (an object, or null) and wants a sidecar in them.
    #[must_use]
    pub fn selects(&self, labels: &Value) -> bool {
        self.is_wanted() && rules::selects(&self.profile, labels)
    }

    /// What becomes of this pod when it is created.
    #[must_use]
    pub fn decide(&self, pod: &Value) -> Decision {
        decide(&self.profile, pod)
    }

    /// The JSON patch (RFC 6902) that injects the sidecar; empty unless [`Injector::decide`] says so.
    #[must_use]
    pub fn patch(&self, pod: &Value) -> Patch {
        match self.decide(pod) {
            Decision::Inject => patch::patch(&self.profile, &self.settings, pod),
            _ => Patch(Vec::new()),
        }
    }

    /// The state of a pod that exists; none when the profile neither selects it nor has a sidecar in it.
    #[must_use]
    pub fn state(&self, pod: &Value) -> Option<State> {
        let labels = &pod["metadata"]["labels"];
        let injected = Rule::NotInjected.broken(&self.profile, pod).is_some();
        let mine = injected && labels[SIDECAR_LABEL] == self.name();
        if mine {
            return Some(match self.difference(pod) {
                Some(difference) => State::Outdated(difference),
                None => State::Injected,
            });
        }
        if !self.selects(labels) {
            return None;
        }
        if injected {
            let other = labels[SIDECAR_LABEL].as_str().unwrap_or("nobody known");
            let message = format!("it has the sidecar of profile {other}: let one profile alone select it");
            return Some(State::Missing(Some(Refusal { reason: "OtherSidecar", message })));
        }
        match self.decide(pod) {
            Decision::OptedOut => Some(State::OptedOut),
            Decision::Refused(refusal) => Some(State::Missing(Some(refusal))),
            _ => Some(State::Missing(None)),
        }
    }

    /// In what a pod with a sidecar of this profile differs from what it would be if it were made now.
    fn difference(&self, pod: &Value) -> Option<String> {
        let labels = &pod["metadata"]["labels"];
        if !self.is_wanted() {
            return Some("the profile wants no sidecar".to_owned());
        }
        if !rules::selects(&self.profile, labels) {
            return Some("the profile does not select it any more".to_owned());
        }
        if labels[INJECT_LABEL] == "false" {
            return Some("it opts out by now".to_owned());
        }
        let mut present = pod.clone();
        remove(&mut present);
        let patch = patch::patch(&self.profile, &self.settings, &present);
        if json_patch::patch(&mut present, &patch).is_err() {
            return Some("the sidecar cannot be put into it".to_owned());
        }
        compare::difference(&present, pod)
    }

    /// A short hash of everything of the sidecar that this profile decides: it changes when pods become outdated.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // A pod of each kind of owner that makes a difference is not needed: what differs between them is not the profile's.
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "application"}]}});
        let patch = patch::patch(&self.profile, &self.settings, &pod);
        let selector = format!("{:?}", self.profile.spec.selector);
        short_hash(format!("{}{selector}{patch}", self.is_wanted()).as_bytes())
    }
}

#[cfg(test)]
mod tests;

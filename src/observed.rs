//! What was seen of the cluster: which optional kinds are served, by which way pods get their sidecar. Types only;
//! `observe` fills them, and everything that decides reads them.

use std::collections::BTreeSet;

use crate::kinds::ChildKind;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The optional kinds that the API server serves.
    pub served: BTreeSet<ChildKind>,
    /// True when the API server serves the TelemetryProfile kind.
    pub profiles_served: bool,
    /// By which way pods get their sidecar.
    pub injection: Way,
}

impl Observed {
    /// True where objects of this kind can be written.
    #[must_use]
    pub fn serves(&self, kind: ChildKind) -> bool {
        !kind.is_optional() || self.served.contains(&kind)
    }
}

/// By which way pods get their sidecar in this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The API server injects, by the policy.
    Policy(Installed),
    /// The operator's webhook injects.
    Webhook,
    /// Nobody injects: the administrator said so, or nothing is known yet.
    #[default]
    None,
}

/// Whether the policy and its binding are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Both, as this version has them.
    Present,
    /// One of them is not: `Kind/name`.
    Missing(String),
    /// One of them is not this version's: `Kind/name` and the first field that differs.
    Differs(String, String),
}

/// Whether the webhook injects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WebhookState {
    /// It has no certificates yet, or another way injects.
    #[default]
    Starting,
    /// Another replica leads and has made no certificates yet, so the API server knows of no webhook. It may be one of a version
    /// or a configuration that makes none, and go only when this one is ready.
    StandingBy,
    /// It serves, and the API server is told so.
    Registered,
    /// It does not: why, and what to do.
    Failed(String),
}

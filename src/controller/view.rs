//! What the HTTP server may see of the controller: what it waits for, and every profile's conditions. In: stores.
//! Out: words. No cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use kube::ResourceExt;
use kube::runtime::reflector::Store;

use super::StoredProfile;
use crate::metrics::ProfileCondition;
use crate::observe::Capabilities;
use crate::observed::{Way, WebhookState};
use crate::profile::{ConditionStatus, GROUP, PLURAL, SidecarStatus, TelemetryProfile};
use crate::status;

/// What the HTTP server may see of the controller.
pub struct View {
    capabilities: Capabilities,
    webhook: watch::Receiver<WebhookState>,
    /// By namespace, or one for all.
    stores: Mutex<BTreeMap<Option<String>, Store<StoredProfile>>>,
    scopes: usize,
}

impl View {
    /// A view of a controller that is about to start, with this many namespaces (1 for all of them).
    #[must_use]
    pub fn new(capabilities: Capabilities, webhook: watch::Receiver<WebhookState>, scopes: usize) -> Self {
        Self { capabilities, webhook, stores: Mutex::default(), scopes }
    }

    /// What the operator waits for before it works; empty when it works.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        if !self.profiles_served() {
            waiting.push(format!("the CustomResourceDefinition {PLURAL}.{GROUP}"));
        }
        if self.stores().len() < self.scopes {
            waiting.push("the first list of profiles".to_owned());
        }
        let by_webhook = self.capabilities.observed().injection == Way::Webhook;
        if by_webhook && *self.webhook.borrow() == WebhookState::Starting {
            waiting.push("the webhook's certificates".to_owned());
        }
        waiting
    }

    /// True while the API server serves the TelemetryProfile kind.
    #[must_use]
    pub fn profiles_served(&self) -> bool {
        self.capabilities.observed().profiles_served
    }

    /// Every profile as it is stored; none before each namespace has its first list.
    #[must_use]
    pub fn profiles(&self) -> Option<Vec<Arc<StoredProfile>>> {
        let stores = self.stores();
        (stores.len() >= self.scopes).then(|| stores.iter().flat_map(Store::state).collect())
    }

    /// Every condition of every profile.
    #[must_use]
    pub fn conditions(&self) -> Vec<ProfileCondition> {
        let mut all = Vec::new();
        let stored = self.stored();
        for profile in decoded(&stored) {
            let namespace = profile.metadata.namespace.clone().unwrap_or_default();
            let name = profile.name_any();
            all.extend(status::present(profile).conditions.into_iter().map(|condition| ProfileCondition {
                namespace: namespace.clone(),
                profile: name.clone(),
                condition: condition.kind,
                status: match condition.status {
                    ConditionStatus::True => "true",
                    ConditionStatus::False => "false",
                    ConditionStatus::Unknown => "unknown",
                },
                reason: condition.reason,
            }));
        }
        all
    }

    /// (state, number) of the pods of all profiles together.
    #[must_use]
    pub fn pods(&self) -> [(&'static str, i64); 4] {
        let stored = self.stored();
        let counts: Vec<_> =
            decoded(&stored).filter_map(|profile| status::present(profile).sidecar).collect();
        let sum = |of: fn(&SidecarStatus) -> i32| counts.iter().map(|counts| i64::from(of(counts))).sum();
        [
            ("injected", sum(|counts| counts.injected)),
            ("outdated", sum(|counts| counts.outdated)),
            ("missing", sum(|counts| counts.missing)),
            ("opted_out", sum(|counts| counts.opted_out)),
        ]
    }

    fn stored(&self) -> Vec<Arc<StoredProfile>> {
        self.stores().iter().flat_map(Store::state).collect()
    }

    fn stores(&self) -> Vec<Store<StoredProfile>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The profiles of a namespace, or of all. Until then the store before it counts.
    pub(super) fn set_store(&self, scope: Option<String>, store: Store<StoredProfile>) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).insert(scope, store);
    }
}

/// The profiles that could be read.
fn decoded(stored: &[Arc<StoredProfile>]) -> impl Iterator<Item = &TelemetryProfile> {
    stored.iter().filter_map(|stored| stored.0.as_ref().ok())
}

//! What the HTTP server may see of the controller: what it waits for, and every profile's conditions. In: stores.
//! Out: words. No cluster.

use std::sync::{Mutex, PoisonError};

use kube::runtime::reflector::Store;

use super::StoredProfile;
use crate::observe::Capabilities;
use crate::profile::{ConditionStatus, GROUP, PLURAL};
use crate::status;

/// What the HTTP server may see of the controller.
pub struct View {
    capabilities: Capabilities,
    stores: Mutex<Vec<Store<StoredProfile>>>,
    scopes: usize,
}

impl View {
    /// A view of a controller that is about to start, with this many namespaces (1 for all of them).
    #[must_use]
    pub fn new(capabilities: Capabilities, scopes: usize) -> Self {
        Self { capabilities, stores: Mutex::default(), scopes }
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
        waiting
    }

    /// True while the API server serves the TelemetryProfile kind.
    #[must_use]
    pub fn profiles_served(&self) -> bool {
        self.capabilities.observed().profiles_served
    }

    /// (condition, status) of every profile.
    #[must_use]
    pub fn conditions(&self) -> Vec<(String, &'static str)> {
        let profiles = self.stores().iter().flat_map(Store::state).collect::<Vec<_>>();
        let decoded = profiles.iter().filter_map(|stored| stored.0.as_ref().ok());
        let conditions = decoded.flat_map(|profile| status::present(profile).conditions);
        conditions
            .map(|condition| {
                let value = match condition.status {
                    ConditionStatus::True => "true",
                    ConditionStatus::False => "false",
                    ConditionStatus::Unknown => "unknown",
                };
                (condition.kind, value)
            })
            .collect()
    }

    fn stores(&self) -> Vec<Store<StoredProfile>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add_store(&self, store: Store<StoredProfile>) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
    }
}

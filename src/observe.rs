//! What the operator must know of the cluster before it decides: which optional kinds are served, whether its own kind is,
//! and by which way pods get their sidecar.
//!
//! In: client. Out: [`Observed`], kept fresh by [`Capabilities`]. Talks to the cluster (discovery, and
//! the injection policy by name); everything after it, up to `apply`, does not.

pub mod injection;
pub mod pods;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, watch};

use crate::kinds::ChildKind;
use crate::observed::Observed;
use crate::profile::{API_VERSION, PLURAL};
use crate::settings::Settings;

/// How often discovery is asked. Kinds that appear or vanish are followed within this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// A present view of the API server's kinds.
#[derive(Clone, Debug)]
pub struct Capabilities {
    seen: watch::Receiver<Observed>,
    ask_again: Arc<Notify>,
}

impl Capabilities {
    /// Starts asking. The first answer is there when this returns, unless the API server is out of reach: then nothing
    /// counts as served until it answers. The returned future must be polled for the view to stay fresh.
    pub async fn start(
        client: Client,
        settings: Settings,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let first = look(&client, &settings, &Observed::default()).await;
        let (sender, seen) = watch::channel(first);
        let ask_again = Arc::new(Notify::new());
        let capabilities = Self { seen, ask_again: Arc::clone(&ask_again) };
        let poll = async move {
            while !sender.is_closed() {
                // Either the time is up or a write met a kind that is gone.
                let _ = tokio::time::timeout(INTERVAL, ask_again.notified()).await;
                let before = sender.borrow().clone();
                let now = look(&client, &settings, &before).await;
                if now != before {
                    tracing::info!(
                        served = ?now.served, profiles_served = now.profiles_served, injection = ?now.injection,
                        "what the API server serves has changed"
                    );
                    sender.send_replace(now);
                }
            }
        };
        (capabilities, poll)
    }

    /// What is served now.
    #[must_use]
    pub fn observed(&self) -> Observed {
        self.seen.borrow().clone()
    }

    /// Asks at once instead of at the next interval: a write has met a kind that is gone.
    pub fn refresh(&self) {
        self.ask_again.notify_one();
    }

    /// A receiver that wakes at each change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Observed> {
        self.seen.clone()
    }
}

/// Asks discovery. 404 means absent; any other error means unknown, and what was known before stays.
async fn look(client: &Client, settings: &Settings, before: &Observed) -> Observed {
    let profiles_served = match resources(client, API_VERSION).await {
        Some(plurals) => plurals.contains(PLURAL),
        None => before.profiles_served,
    };
    let injection = injection::ask(client, settings).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the way of injection cannot be found out; what was known stays");
        before.injection.clone()
    });
    let mut now = Observed { served: BTreeSet::new(), profiles_served, injection };
    let optional: Vec<_> = ChildKind::ALL.into_iter().filter(|kind| kind.is_optional()).collect();
    let versions: BTreeSet<_> = optional.iter().map(|kind| kind.api_version()).collect();
    for version in versions {
        let served = resources(client, &version).await;
        for kind in optional.iter().filter(|kind| kind.api_version() == version) {
            let is_served = match &served {
                Some(plurals) => plurals.contains(kind.plural()),
                None => before.served.contains(kind),
            };
            if is_served {
                now.served.insert(*kind);
            }
        }
    }
    now
}

async fn resources(client: &Client, api_version: &str) -> Option<BTreeSet<String>> {
    match client.list_api_group_resources(api_version).await {
        Ok(list) => Some(list.resources.into_iter().map(|resource| resource.name).collect()),
        Err(error) if is_not_found(&error) => Some(BTreeSet::new()),
        Err(error) => {
            tracing::warn!(api_version, %error, "discovery did not answer; what was known stays");
            None
        }
    }
}

/// True for an object or a kind that is not there. The code decides: for a kind that is not served the API server answers
/// plain text, without the reason that a missing object has.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

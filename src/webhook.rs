//! The webhook: injection where the API server cannot do it itself. In: profiles from the controller's store, questions of the
//! API server over HTTPS. Out: answers, certificates in a Secret, entries in a MutatingWebhookConfiguration, a [`WebhookState`].
//!
//! ```text
//! review        bytes → bytes                      pure
//! server        HTTPS around it, bounded           no cluster
//! certificates  present, time → next step          pure
//! keeper        the certificates in their Secret   one Secret, by name
//! registration  what the API server is told        one object, by name
//! ```
//!
//! Every replica serves; the one that leads makes the certificates and tells the API server. No request leads to a call of the
//! API server. The Secret and the configuration come from the chart: the operator may create neither.

pub mod certificates;
mod keeper;
mod registration;
pub mod review;
mod server;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::{Client, Resource, ResourceExt};
use rustls::sign::CertifiedKey as ServerKey;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::inject::INSTALL_WEBHOOK;
use crate::leader::Role;
use crate::metrics::Metrics;
use crate::observed::{Observed, Way, WebhookState};
use crate::profile::TelemetryProfile;
use crate::settings::{InjectionMode, Settings};
use crate::shutdown::stopped;
use certificates::{CertificateError, Timing};
use keeper::Keeper;
use registration::Registration;

/// A profile as it is stored: decoded, or told to be undecodable.
pub type StoredProfile = Arc<DeserializeGuard<TelemetryProfile>>;
/// Every profile as it is stored now; none before the first list is there.
pub type Profiles = Arc<dyn Fn() -> Option<Vec<StoredProfile>> + Send + Sync>;

/// Changes of profiles reach the API server within about this time.
const FOLLOW: Duration = Duration::from_secs(1);

/// How the API server reaches the webhook. The Secret and the configuration have the Service's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name of the Service.
    pub name: String,
    /// Its namespace, which is the operator's.
    pub namespace: String,
    /// Its port.
    pub port: u16,
}

/// The webhook with all that it needs.
pub struct Webhook {
    /// The way to the cluster.
    pub client: Client,
    /// How the API server reaches it.
    pub service: Service,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long its certificates live.
    pub timing: Timing,
    /// The profiles.
    pub profiles: Profiles,
    /// What the administrator has set.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether this replica may write. The others serve with what it has written.
    pub role: watch::Receiver<Role>,
}

/// Why the webhook does not inject.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// An object of the chart is not there.
    #[error("{0}: {INSTALL_WEBHOOK}")]
    Missing(String),
    /// The Secret cannot be read or written.
    #[error("the certificates in the Secret {name} cannot be kept: {source}")]
    Secret {
        /// Name of the Secret.
        name: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// Other replicas write all the time.
    #[error("the Secret {name} changes all the time: look who writes it besides the operator")]
    Busy {
        /// Name of the Secret.
        name: String,
    },
    /// The configuration cannot be read or written.
    #[error("the MutatingWebhookConfiguration {name} cannot be kept: {source}")]
    Registration {
        /// Name of the configuration.
        name: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another address with --webhook-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate cannot be made or used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificates cannot be written down.
    #[error("the certificates cannot be stored: {0}")]
    Store(#[from] serde_json::Error),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Service {
    /// The names by which the server may be called.
    fn names(&self) -> Vec<String> {
        let Self { name, namespace, .. } = self;
        // The API server calls it by the first one.
        [".svc", ".svc.cluster.local", ""].map(|suffix| format!("{name}.{namespace}{suffix}")).to_vec()
    }
}

impl Webhook {
    /// Serves and registers the webhook while it is the way of injection, withdraws it while it is not, until `stop` turns
    /// true and the last answers are given.
    pub async fn run(
        self,
        mut observed: watch::Receiver<Observed>,
        state: watch::Sender<WebhookState>,
        stop: watch::Receiver<bool>,
    ) {
        // Where it can never be the way, the installation has neither its objects nor a right to look for them.
        if matches!(self.settings.injection, InjectionMode::Policy | InjectionMode::None) {
            return;
        }
        let mut work = Work::new(&self);
        let mut roles = self.role.clone();
        loop {
            let wanted = observed.borrow_and_update().injection == Way::Webhook;
            let role = *roles.borrow_and_update();
            let writes = role == Role::Leads;
            let outcome = match (wanted, writes) {
                (true, true) => work.keep(&self).await,
                (true, false) => work.follow(&self).await,
                (false, _) => work.withdraw(writes).await,
            };
            note(&state, wanted, role, &outcome);
            let settled = !wanted && outcome.is_ok();
            let look_again = async {
                match &outcome {
                    // Only another way of injection changes anything.
                    _ if settled => std::future::pending().await,
                    Ok(profiles) => self.changed(*profiles, self.timing.poll).await,
                    Err(_) => tokio::time::sleep(self.timing.poll.min(FOLLOW * 5)).await,
                }
            };
            tokio::select! {
                () = look_again => {}
                changed = observed.changed() => if changed.is_err() { break },
                Ok(()) = roles.changed() => {}
                () = stopped(stop.clone()) => break,
            }
        }
        work.finish().await;
    }

    /// Waits until the profiles are others than `seen`, for `wait` at most.
    async fn changed(&self, seen: Option<u64>, wait: Duration) {
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            tokio::time::sleep_until(deadline.min(Instant::now() + FOLLOW)).await;
            if (self.profiles)().as_deref().map(fingerprint) != seen {
                return;
            }
        }
    }
}

fn note(
    state: &watch::Sender<WebhookState>,
    wanted: bool,
    role: Role,
    outcome: &Result<Option<u64>, WebhookError>,
) {
    let now = match outcome {
        Err(error) => WebhookState::Failed(error.to_string()),
        Ok(None) if wanted && role == Role::StandsBy => WebhookState::StandingBy,
        // Without profiles it is not known what to register.
        Ok(None) => WebhookState::Starting,
        Ok(Some(_)) if wanted => WebhookState::Registered,
        Ok(Some(_)) => WebhookState::Starting,
    };
    state.send_if_modified(|before| {
        let differs = *before != now;
        if differs {
            if let WebhookState::Failed(error) = &now {
                tracing::warn!(error, "the webhook does not inject; tried again");
            }
            *before = now;
        }
        differs
    });
}

/// What a change of the profiles that matters here changes.
fn fingerprint(profiles: &[StoredProfile]) -> u64 {
    let mut all: Vec<_> = profiles
        .iter()
        .map(|profile| {
            let meta = profile.meta();
            (profile.namespace(), profile.name_any(), meta.generation, meta.deletion_timestamp.is_some())
        })
        .collect();
    all.sort();
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    hasher.finish()
}

/// The parts of a webhook that runs.
struct Work {
    keeper: Keeper,
    registration: Registration,
    shared: Arc<server::Shared>,
    server: Option<Serving>,
}

/// A server that runs, and the way to end it.
struct Serving {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Work {
    fn new(webhook: &Webhook) -> Self {
        let Webhook { client, service, timing, profiles, settings, metrics, .. } = webhook;
        Self {
            keeper: Keeper::new(client.clone(), service.clone(), *timing, metrics.clone()),
            registration: Registration::new(client.clone(), service.clone()),
            shared: Arc::new(server::Shared::new(Arc::clone(profiles), settings.clone(), metrics.clone())),
            server: None,
        }
    }

    /// One look: certificates, server, registration. Out: the fingerprint of the profiles that are registered.
    async fn keep(&mut self, webhook: &Webhook) -> Result<Option<u64>, WebhookError> {
        let live = self.registration.read().await?;
        let trusts =
            |authority: &str| live.as_ref().is_some_and(|live| registration::trusts(live, authority));
        let certificates = self.keeper.look(trusts).await?;
        self.serve(webhook.listen).await?;
        let live = live.ok_or_else(|| {
            let name = &webhook.service.name;
            WebhookError::Missing(format!("the MutatingWebhookConfiguration {name} is not there"))
        })?;
        let Some(profiles) = (webhook.profiles)() else { return Ok(None) };
        let entries = self.registration.entries(&profiles, &certificates.bundle());
        self.registration.write(&live, entries).await?;
        Ok(Some(fingerprint(&profiles)))
    }

    /// One look of a replica that may not write: the certificates that are there, and the server.
    async fn follow(&mut self, webhook: &Webhook) -> Result<Option<u64>, WebhookError> {
        if !self.keeper.follow().await? {
            return Ok(None);
        }
        self.serve(webhook.listen).await?;
        Ok((webhook.profiles)().as_deref().map(fingerprint))
    }

    async fn serve(&mut self, address: SocketAddr) -> Result<(), WebhookError> {
        if self.server.as_ref().is_some_and(|server| !server.task.is_finished()) {
            return Ok(());
        }
        let acceptor = server::tls(self.keeper.server_key())?;
        let listener =
            TcpListener::bind(address).await.map_err(|source| WebhookError::Listen { address, source })?;
        tracing::info!(%address, path = server::PATH, "serving the webhook");
        let (stop, stopping) = watch::channel(false);
        let serve = server::serve(listener, acceptor, Arc::clone(&self.shared), stopping);
        self.server = Some(Serving { task: tokio::spawn(serve), stop });
        Ok(())
    }

    /// Takes the entries out of the configuration, where there is one, and stops serving.
    async fn withdraw(&mut self, writes: bool) -> Result<Option<u64>, WebhookError> {
        if writes && let Some(live) = self.registration.read().await? {
            self.registration.write(&live, Vec::new()).await?;
        }
        if let Some(Serving { stop, .. }) = self.server.take() {
            stop.send_replace(true);
        }
        Ok(None)
    }

    /// Waits until the server has given its last answers.
    async fn finish(self) {
        if let Some(Serving { task, stop }) = self.server {
            stop.send_replace(true);
            let _ = task.await;
        }
    }
}

#[cfg(test)]
mod tests;

//! The certificates in their Secret. In: the Secret, the time. Out: certificates that everybody shares, renewed in time, and the
//! present one for the TLS server. Talks to the cluster (one object, by name).
//!
//! Every replica looks at the Secret, and the one that leads takes the next step. A writer that is not alone all the same wins or reads
//! what the other wrote.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

use super::certificates::{Certificates, Step, Timing, next};
use super::{ServerKey, Service, WebhookError};
use crate::metrics::Metrics;

/// The entry of the Secret.
const ENTRY: &str = "certificates.json";
/// Steps and lost races in one look; more than a whole change of the authority takes.
const MOST_TRIES: usize = 8;

pub(super) struct Keeper {
    api: Api<Secret>,
    service: Service,
    timing: Timing,
    server: watch::Sender<Option<Arc<ServerKey>>>,
    metrics: Metrics,
}

impl Keeper {
    pub(super) fn new(client: Client, service: Service, timing: Timing, metrics: Metrics) -> Self {
        let api = Api::namespaced(client, &service.namespace);
        Self { api, service, timing, server: watch::Sender::new(None), metrics }
    }

    /// What the TLS server shows, from now on.
    pub(super) fn server_key(&self) -> watch::Receiver<Option<Arc<ServerKey>>> {
        self.server.subscribe()
    }

    /// Reads the certificates, takes the steps that are due, and hands the server's to the TLS server. `published`: the API
    /// server is told to trust this authority.
    pub(super) async fn look(&self, published: impl Fn(&str) -> bool) -> Result<Certificates, WebhookError> {
        for _ in 0..MOST_TRIES {
            let secret = self.read().await?;
            let (present, certified) = match stored(&secret) {
                Some(Ok((present, certified))) => (Some(present), Some(certified)),
                Some(Err(error)) => {
                    tracing::warn!(secret = self.service.name, %error, "the certificates are made anew");
                    (None, None)
                }
                None => (None, None),
            };
            let newest = present.as_ref().and_then(|present| present.authorities.last());
            let published = newest.is_some_and(|newest| published(&newest.certificate));
            let now = Timestamp::now();
            match (next(present.as_ref(), now, &self.timing, published), present, certified) {
                (Step::Rest, Some(present), Some(certified)) => {
                    self.show(&present, certified);
                    return Ok(present);
                }
                (step, present, _) => self.take(secret, present, step, now).await?,
            }
        }
        Err(WebhookError::Busy { name: self.service.name.clone() })
    }

    /// Reads the certificates and hands the server's to the TLS server, without a step of our own. False: there are none yet.
    pub(super) async fn follow(&self) -> Result<bool, WebhookError> {
        Ok(match stored(&self.read().await?) {
            Some(Ok((present, certified))) => {
                self.show(&present, certified);
                true
            }
            // Whoever leads makes them anew.
            Some(Err(_)) | None => false,
        })
    }

    fn show(&self, present: &Certificates, certified: rustls::sign::CertifiedKey) {
        self.metrics.set_certificate_expiry(present.leaf.expires.as_second());
        self.server.send_if_modified(|shown| {
            if shown.as_ref().is_some_and(|shown| shown.cert == certified.cert) {
                return false;
            }
            *shown = Some(Arc::new(certified));
            true
        });
    }

    async fn read(&self) -> Result<Secret, WebhookError> {
        let Service { name, namespace, .. } = &self.service;
        let failed = |source| WebhookError::Secret { name: name.clone(), source };
        let missing = || WebhookError::Missing(format!("the Secret {namespace}/{name} is not there"));
        self.api.get_opt(name).await.map_err(failed)?.ok_or_else(missing)
    }

    async fn take(
        &self,
        mut secret: Secret,
        present: Option<Certificates>,
        step: Step,
        now: Timestamp,
    ) -> Result<(), WebhookError> {
        let names = self.service.names();
        let made = match present {
            Some(present) => present.take(step, &names, now, &self.timing)?,
            None => Certificates::create(&names, now, &self.timing)?,
        };
        secret.data = Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(made.to_bytes()?))]));
        // With the resourceVersion that was read: one of two writers wins.
        match self.api.replace(&self.service.name, &PostParams::default(), &secret).await {
            Ok(_) => tracing::info!(?step, expires = %made.leaf.expires, "the webhook's certificates"),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(WebhookError::Secret { name: self.service.name.clone(), source }),
        }
        Ok(())
    }
}

type Stored = (Certificates, rustls::sign::CertifiedKey);

/// What the Secret has, or none when it is empty.
fn stored(secret: &Secret) -> Option<Result<Stored, super::certificates::CertificateError>> {
    let bytes = secret.data.as_ref()?.get(ENTRY)?;
    Some(Certificates::from_bytes(&bytes.0).and_then(|present| {
        let certified = present.leaf.certified_key()?;
        Ok((present, certified))
    }))
}

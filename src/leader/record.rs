//! The Lease, read and written. In: client, name. Out: what was seen, on our clock. Talks to the cluster (one Lease, by name).
//!
//! Every write has a precondition: it is made only where there is no Lease, or where the Lease is as it was read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;

use super::decide::{Change, Seen};

/// Why the Lease cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the Lease {lease} cannot be used: {source}")]
pub struct RecordError {
    lease: String,
    source: kube::Error,
}

/// The Lease of an installation.
pub(super) struct Record {
    api: Api<Lease>,
    name: String,
    reference: String,
    manager: String,
    /// As it was read or written last, and since when it is so on our clock.
    last: Option<(Lease, Instant)>,
    /// False after a write that failed: whatever the Lease is by now must be read before the next one.
    fresh: bool,
}

impl Record {
    pub(super) fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            reference: format!("{namespace}/{name}"),
            // One for each process: of two that make the Lease at once, one meets the other's fields and fails. The API server
            // takes 128 bytes.
            manager: identity.chars().rev().take(128).collect::<Vec<_>>().into_iter().rev().collect(),
            last: None,
            fresh: false,
        }
    }

    /// namespace/name.
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// The Lease as it is. A holder need not read what it has written itself: its next write fails if somebody has changed it.
    pub(super) async fn look(&mut self, me: &str) -> Result<Seen, RecordError> {
        let ours = self.last.as_ref().is_some_and(|(lease, _)| holder(lease) == Some(me));
        if !(ours && self.fresh) {
            let now = self.api.get_opt(&self.name).await.map_err(|source| self.failed(source))?;
            self.fresh = true;
            self.last = now.map(|lease| {
                let known = self.last.take().filter(|(before, _)| before.spec == lease.spec);
                let since = known.map_or_else(Instant::now, |(_, since)| since);
                (lease, since)
            });
        }
        Ok(self.last.as_ref().map_or(Seen::Absent, |(lease, since)| seen(lease, *since)))
    }

    /// Writes that `me` holds it from now on.
    pub(super) async fn write(
        &mut self,
        change: Change,
        me: &str,
        duration: Duration,
    ) -> Result<(), RecordError> {
        let now = MicroTime(Timestamp::now());
        let before = self.last.as_ref().and_then(|(lease, _)| lease.spec.clone()).unwrap_or_default();
        let taken = change != Change::Renew;
        let spec = LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: if taken { Some(now.clone()) } else { before.acquire_time },
            renew_time: Some(now),
            lease_transitions: Some(
                before.lease_transitions.unwrap_or_default() + i32::from(change == Change::Acquire),
            ),
            ..LeaseSpec::default()
        };
        self.put(spec).await
    }

    /// Writes that nobody holds it, for a duration of a second so that also others take it at once.
    pub(super) async fn release(&mut self) -> Result<(), RecordError> {
        let before = self.last.as_ref().and_then(|(lease, _)| lease.spec.clone()).unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..before
        };
        self.put(spec).await
    }

    async fn put(&mut self, spec: LeaseSpec) -> Result<(), RecordError> {
        let written = match &self.last {
            Some((lease, _)) => {
                let lease = Lease { spec: Some(spec), ..lease.clone() };
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
            None => {
                let body = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self.name},
                    "spec": spec,
                });
                self.api.patch(&self.name, &PatchParams::apply(&self.manager), &Patch::Apply(&body)).await
            }
        };
        match written {
            Ok(lease) => self.last = Some((lease, Instant::now())),
            Err(source) => {
                // What was seen stays: another holder's record does not count anew because a write of ours has failed.
                self.fresh = false;
                return Err(self.failed(source));
            }
        }
        Ok(())
    }

    fn failed(&self, source: kube::Error) -> RecordError {
        RecordError { lease: self.reference.clone(), source }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn seen(lease: &Lease, since: Instant) -> Seen {
    let Some(holder) = holder(lease) else { return Seen::Free };
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    Seen::Held { holder: holder.to_owned(), duration, since }
}

//! Leader election: of several replicas one writes. In: a Lease by name, who we are. Out: a receiver that turns true when this
//! process leads, a [`Fence`] that lets it write only then, an error when it has lost the Lease. Talks to the cluster (one Lease,
//! by name).
//!
//! ```text
//! decide   a Lease as it is, the time → next step      pure
//! record   the Lease, read and written                 one Lease, by name
//! fence    a layer of the client that refuses writes   no cluster
//! ```
//!
//! The rules are those of client-go's leader election: a holder is given up when its record has not changed for the Lease's
//! duration on *our* clock, so that clocks of different machines are never compared; a holder that cannot renew gives itself
//! up earlier, at the renew deadline. The crate kube-lease-manager compares clocks and renews without a precondition.

mod decide;
mod fence;
mod record;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::metrics::Metrics;
use crate::shutdown::stopped;
use decide::Step;
pub use fence::{Fence, client};
use record::{Record, RecordError};

/// How long a Lease may be given back at the end.
const RELEASE: Duration = Duration::from_secs(1);

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has not been told yet who holds the Lease.
    Unknown,
    /// Another process holds it.
    StandsBy,
    /// It may reconcile.
    Leads,
}

/// How long a Lease lives, and how often it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Others take a Lease over that was not renewed for so long.
    pub lease: Duration,
}

impl Timing {
    /// A holder that could not renew for so long gives itself up. The rest of the duration is for requests that are on their way.
    fn renew_deadline(self) -> Duration {
        self.lease * 2 / 3
    }

    /// What a holder has sent and the API server's side has not received is given up after so long: with the renew deadline that is
    /// the Lease's end.
    fn unsent(self) -> Duration {
        self.lease - self.renew_deadline()
    }

    /// The time between two looks at the Lease, two seconds of fifteen.
    fn retry(self) -> Duration {
        self.lease * 2 / 15
    }
}

/// Why this process leads no longer.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Somebody else holds the Lease.
    #[error("the Lease {lease} was taken over by {holder}: this process ends, so that there is one writer")]
    Taken {
        /// namespace/name.
        lease: String,
        /// The new holder.
        holder: String,
    },
    /// The Lease could not be renewed in time.
    #[error(
        "the Lease {lease} could not be renewed for {seconds} s ({why}): this process ends, so that there is one writer; look whether \
         the API server is in reach"
    )]
    Expired {
        /// namespace/name.
        lease: String,
        /// The renew deadline in seconds.
        seconds: u64,
        /// The last error.
        why: String,
    },
}

/// A candidate for the Lease.
pub struct Election {
    record: Record,
    identity: String,
    timing: Timing,
    fence: Fence,
    metrics: Metrics,
}

/// Who this process is among the replicas: the pod's name, and a part that a restarted container does not have again.
#[must_use]
pub fn identity() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let pod = variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "local".to_owned());
    format!("{pod}_{:016x}", RandomState::new().build_hasher().finish())
}

/// What one try for the Lease has come to.
enum Tried {
    Held,
    HeldBy { holder: String, free_in: Duration },
}

impl Election {
    /// A candidate with this client, which no fence may keep from writing.
    #[must_use]
    pub fn new(
        client: Client,
        (namespace, name): (&str, &str),
        identity: String,
        timing: Timing,
        fence: Fence,
        metrics: Metrics,
    ) -> Self {
        Self { record: Record::new(client, namespace, name, &identity), identity, timing, fence, metrics }
    }

    /// Tries for the Lease, tells when it is held, renews it, and gives it back when `done` turns true.
    ///
    /// # Errors
    /// When it was held and is lost: nothing may be written from then on.
    pub async fn run(
        mut self,
        role: watch::Sender<Role>,
        done: watch::Receiver<bool>,
    ) -> Result<(), LeaderError> {
        let acquired = tokio::select! {
            acquired = self.acquire(&role) => acquired,
            () = stopped(done.clone()) => return Ok(()),
        };
        let lease = self.record.reference().to_owned();
        tracing::info!(lease, identity = self.identity, "this process leads");
        self.metrics.set_leader(true);
        role.send_replace(Role::Leads);
        let lost = tokio::select! {
            lost = self.renew(acquired) => lost,
            () = stopped(done) => {
                self.release().await;
                return Ok(());
            }
        };
        self.fence.close();
        self.metrics.set_leader(false);
        Err(lost)
    }

    /// Waits until the Lease is held. Out: when the request began that took it.
    async fn acquire(&mut self, role: &watch::Sender<Role>) -> Instant {
        let mut told = String::new();
        loop {
            let began = Instant::now();
            let tried = timeout(self.timing.renew_deadline(), self.attempt()).await;
            let (now, wait) = match tried {
                Ok(Ok(Tried::Held)) => {
                    self.fence.open_until(began + self.timing.renew_deadline());
                    return began;
                }
                Ok(Ok(Tried::HeldBy { holder, free_in })) => {
                    role.send_if_modified(|role| std::mem::replace(role, Role::StandsBy) != Role::StandsBy);
                    (format!("held by {holder}"), free_in)
                }
                Ok(Err(error)) => (error.to_string(), self.timing.retry()),
                Err(_) => ("the API server does not answer".to_owned(), self.timing.retry()),
            };
            if now != told {
                tracing::info!(lease = self.record.reference(), identity = self.identity, now, "standing by");
                told = now;
            }
            sleep(wait.min(self.timing.retry().mul_f64(1.0 + share()))).await;
        }
    }

    /// Renews the Lease until that fails for too long.
    async fn renew(&mut self, acquired: Instant) -> LeaderError {
        let mut deadline = acquired + self.timing.renew_deadline();
        let mut why = "the process stood still".to_owned();
        loop {
            sleep(self.timing.retry()).await;
            let began = Instant::now();
            // After a pause the deadline is over: nothing is asked then, because nothing may be written any more.
            if began >= deadline {
                break;
            }
            match timeout_at(deadline, self.attempt()).await {
                Ok(Ok(Tried::Held)) => {
                    deadline = began + self.timing.renew_deadline();
                    self.fence.open_until(deadline);
                }
                Ok(Ok(Tried::HeldBy { holder, .. })) => {
                    return LeaderError::Taken { lease: self.record.reference().to_owned(), holder };
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => "the API server does not answer".clone_into(&mut why),
            }
        }
        let seconds = self.timing.renew_deadline().as_secs();
        LeaderError::Expired { lease: self.record.reference().to_owned(), seconds, why }
    }

    /// Looks at the Lease and takes the next step.
    async fn attempt(&mut self) -> Result<Tried, RecordError> {
        let seen = self.record.look(&self.identity).await?;
        match decide::decide(&seen, &self.identity, self.timing.lease, Instant::now()) {
            Step::Take(change) => {
                self.record.write(change, &self.identity, self.timing.lease).await?;
                Ok(Tried::Held)
            }
            Step::Wait { holder, free_in } => Ok(Tried::HeldBy { holder, free_in }),
        }
    }

    async fn release(&mut self) {
        self.fence.close();
        self.metrics.set_leader(false);
        match timeout(RELEASE, self.record.release()).await {
            Ok(Ok(())) => tracing::info!(lease = self.record.reference(), "the Lease is given back"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease could not be given back; another replica waits for its end");
            }
            Err(_) => {
                tracing::warn!(
                    "the Lease could not be given back in time; another replica waits for its end"
                );
            }
        }
    }
}

/// A fifth at most, by chance, so that replicas do not ask in step.
fn share() -> f64 {
    f64::from(u8::try_from(RandomState::new().build_hasher().finish() % 200).unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests;

//! The end of the process. In: SIGTERM and SIGINT. Out: first the request to stop, then, when that was not enough, the order to
//! abandon what still runs. No network.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// How long what runs may go on after the first signal. A second one ends it at once.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Requested,
    Abandoned,
}

/// Says when to stop. Every clone says the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Phase>);

impl Stop {
    /// Listens to SIGTERM and SIGINT from now on.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (phase, receiver) = watch::channel(Phase::Running);
        tokio::spawn(async move {
            let mut any = async || {
                tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" }
            };
            let signal = any().await;
            info!(signal, grace_seconds = GRACE.as_secs(), "stopping");
            phase.send_replace(Phase::Requested);
            tokio::select! { _ = any() => {}, () = tokio::time::sleep(GRACE) => {} }
            phase.send_replace(Phase::Abandoned);
            // Nobody may wait in vain for a phase that nobody can send any more.
            phase.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Returns when nothing new should begin.
    pub(crate) async fn requested(&self) {
        self.reached(Phase::Requested).await;
    }

    /// `work`, or nothing when it was not over in time.
    pub(crate) async fn bounded<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.reached(Phase::Abandoned) => None,
        }
    }

    async fn reached(&self, phase: Phase) {
        // An error means that the sender is gone, and with it the runtime.
        let _ = self.0.clone().wait_for(|current| *current >= phase).await;
    }
}

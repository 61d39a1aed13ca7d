//! (the Lease as it was seen, who we are, the time) → the next step. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The Lease as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    Absent,
    /// Nobody holds it.
    Free,
    /// Somebody holds it.
    Held {
        /// Who.
        holder: String,
        /// How long the holder says that it lives.
        duration: Option<Duration>,
        /// When its record was first seen as it is, on our clock.
        since: Instant,
    },
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first record.
    Create,
    /// A new holder.
    Acquire,
    /// The same holder, a new time.
    Renew,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write.
    Take(Change),
    /// Somebody else holds the Lease.
    Wait {
        /// Who.
        holder: String,
        /// When it is free if its record does not change.
        free_in: Duration,
    },
}

/// The next step. A record counts for as long as its holder says, or as long as ours where it does not say.
#[must_use]
pub fn decide(seen: &Seen, me: &str, lease: Duration, now: Instant) -> Step {
    match seen {
        Seen::Absent => Step::Take(Change::Create),
        Seen::Free => Step::Take(Change::Acquire),
        Seen::Held { holder, .. } if holder == me => Step::Take(Change::Renew),
        Seen::Held { holder, duration, since } => {
            let free_in = (*since + duration.unwrap_or(lease)).saturating_duration_since(now);
            if free_in.is_zero() {
                Step::Take(Change::Acquire)
            } else {
                Step::Wait { holder: holder.clone(), free_in }
            }
        }
    }
}

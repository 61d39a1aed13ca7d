//! What the controller remembers of each profile between two reconciles: why the next one is due, and how long to wait
//! after failures. In: events. Out: words and durations. No cluster; nothing here decides what is written.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::ProfileRef;

/// First wait after a failure; it doubles, with jitter, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
struct Entry {
    trigger: Option<String>,
    resource_version: Option<String>,
    backoff: Option<ExponentialBackoff>,
}

/// The controller's memory.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<ProfileRef, Entry>>);

impl Memory {
    /// Notes why the next reconcile of this profile is due.
    pub(super) fn note_trigger(&self, profile: &ProfileRef, trigger: String) {
        self.entries().entry(profile.clone()).or_default().trigger = Some(trigger);
    }

    /// Why this reconcile runs: what was noted, else a changed profile, else the periodic look.
    pub(super) fn begin(&self, profile: &ProfileRef, resource_version: Option<String>) -> String {
        let mut entries = self.entries();
        let entry = entries.entry(profile.clone()).or_default();
        let changed = entry.resource_version != resource_version;
        entry.resource_version = resource_version;
        match entry.trigger.take() {
            Some(trigger) => trigger,
            None if changed => "profile".to_owned(),
            None => "resync".to_owned(),
        }
    }

    /// A reconcile went well: the next failure starts from the first wait again.
    pub(super) fn succeeded(&self, profile: &ProfileRef) {
        self.entries().entry(profile.clone()).or_default().backoff = None;
    }

    /// A reconcile failed: how long to wait.
    pub(super) fn failed(&self, profile: &ProfileRef) -> Duration {
        let mut entries = self.entries();
        let entry = entries.entry(profile.clone()).or_default();
        entry.trigger = Some("retry".to_owned());
        let backoff = entry.backoff.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(FIRST_WAIT)
                .with_max_delay(LONGEST_WAIT)
                .with_jitter()
                .without_max_times()
                .build()
        });
        backoff.next().unwrap_or(LONGEST_WAIT)
    }

    /// The profile is gone.
    pub(super) fn forget(&self, profile: &ProfileRef) {
        self.entries().remove(profile);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ProfileRef, Entry>> {
        // Nothing panics while the lock is held; if it did, the map would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_start_anew_after_success() {
        let memory = Memory::default();
        let profile = ProfileRef::new("trakt").within("media");
        let waits: Vec<_> = (0..12).map(|_| memory.failed(&profile)).collect();
        assert!(waits[0] >= FIRST_WAIT && waits[0] <= FIRST_WAIT * 2, "{waits:?}");
        assert!(waits[5] > waits[1], "{waits:?}");
        assert!(waits[11] >= LONGEST_WAIT, "{waits:?}");
        memory.succeeded(&profile);
        assert!(memory.failed(&profile) <= FIRST_WAIT * 2);
    }

    #[test]
    fn the_trigger_is_what_was_noted_else_the_profile_else_time() {
        let memory = Memory::default();
        let profile = ProfileRef::new("trakt").within("media");
        assert_eq!(memory.begin(&profile, Some("1".to_owned())), "profile");
        assert_eq!(memory.begin(&profile, Some("1".to_owned())), "resync");
        memory.note_trigger(&profile, "Service/trakt-collector".to_owned());
        assert_eq!(memory.begin(&profile, Some("1".to_owned())), "Service/trakt-collector");
        memory.forget(&profile);
        assert_eq!(memory.begin(&profile, Some("1".to_owned())), "profile");
    }
}

//! What is known of each profile's pods, and which profiles are to be looked at. In: profiles, pod events, answers. Out: jobs,
//! the latest answers. No cluster.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde_json::json;

use super::{Look, StoredProfile};
use crate::inject::{Injector, SIDECAR_LABEL};
use crate::profile::TelemetryProfile;
use crate::settings::Settings;
use crate::sidecars::{About, Sidecars};

/// Shortest time between two looks at one profile.
const SHORTEST: Duration = Duration::from_secs(1);
/// Looking at a profile takes at most this part of the time.
const SHARE: u32 = 10;
/// After a change of the profile, and after the injection has begun to work, no workload is restarted for this time: each API
/// server learns of it by a watch of its own, and a pod that is made before is made without, or with the old sidecar.
const SETTLE: Duration = Duration::from_secs(5);
/// How long to wait after a look that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A profile whose pods are to be looked at.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) namespace: String,
    pub(super) profile: String,
    pub(super) about: About,
    pub(super) injector: Arc<Injector>,
    others: Vec<(String, Arc<Injector>)>,
}

impl Job {
    /// The other profiles of the namespace.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &Injector)> {
        self.others.iter().map(|(name, injector)| (name.as_str(), injector.as_ref()))
    }
}

#[derive(Debug)]
struct Entry {
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    injector: Arc<Injector>,
    about: About,
    /// When `about` was first seen so.
    since: Instant,
    /// Something has happened since the last look began.
    dirty: bool,
    looking: bool,
    /// No look before this time.
    not_before: Option<Instant>,
    pods: HashSet<u64>,
    answer: Option<Sidecars>,
}

/// What is known.
#[derive(Debug, Default)]
pub(in crate::controller) struct Known {
    /// By namespace and profile.
    entries: Mutex<Entries>,
    /// Since when pods that are made get their sidecar, while they do.
    works_since: Mutex<Option<Instant>>,
}

type Entries = HashMap<String, BTreeMap<String, Entry>>;

impl Known {
    /// The latest answer, if it is one about this.
    pub(in crate::controller) fn answer(
        &self,
        namespace: &str,
        profile: &str,
        about: &About,
    ) -> Option<Sidecars> {
        let entries = self.entries();
        let answer = entries.get(namespace)?.get(profile)?.answer.as_ref()?;
        (answer.about == *about).then(|| answer.clone())
    }

    /// Notes whether a pod that is made now gets its sidecar.
    pub(super) fn note_way(&self, works: bool, now: Instant) {
        let mut since = lock(&self.works_since);
        *since = if works { Some(since.unwrap_or(now)) } else { None };
    }

    /// How long to wait until a restart gives every pod the present sidecar; none when that is so now.
    pub(in crate::controller) fn settling(
        &self,
        namespace: &str,
        profile: &str,
        by_injection: bool,
        now: Instant,
    ) -> Option<Duration> {
        let changed = self.entries().get(namespace)?.get(profile)?.since;
        let works = lock(&self.works_since).unwrap_or(now);
        let last = if by_injection { changed.max(works) } else { changed };
        Some((last + SETTLE).saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Follows the profiles in `scope` (all when `None`): those that are new or were changed are to be looked at, and where one
    /// has come, was edited or has gone, its neighbours, too.
    pub(super) fn follow(
        &self,
        scope: Option<&str>,
        profiles: &[Arc<StoredProfile>],
        settings: &Settings,
        now: Instant,
    ) {
        let mut entries = self.entries();
        let mut there = HashMap::<&str, HashSet<&str>>::new();
        let mut shaken = HashSet::new();
        for stored in profiles {
            let meta = stored.meta();
            let (Some(namespace), Some(name), Ok(profile)) =
                (meta.namespace.as_deref(), meta.name.as_deref(), &stored.0)
            else {
                continue;
            };
            // The pods of a profile that goes are nobody's.
            if meta.deletion_timestamp.is_some() {
                continue;
            }
            there.entry(namespace).or_default().insert(name);
            let here = entries.entry(namespace.to_owned()).or_default();
            if note(here, name, profile, settings, now) {
                shaken.insert(namespace);
            }
        }
        for (namespace, known) in entries.iter_mut().filter(|(namespace, _)| is_in(scope, namespace)) {
            let before = known.len();
            let names = there.get(namespace.as_str());
            known.retain(|name, _| names.is_some_and(|names| names.contains(name.as_str())));
            if known.len() != before || shaken.contains(namespace.as_str()) {
                known.values_mut().for_each(|entry| entry.dirty = true);
            }
        }
        entries.retain(|_, known| !known.is_empty());
    }

    /// A pod has come, changed or gone: those profiles are to be looked at that select it, whose sidecar it has, or that have
    /// counted it.
    pub(super) fn touched(&self, pod: &ObjectMeta) {
        let mut entries = self.entries();
        let Some(profiles) = pod.namespace.as_ref().and_then(|namespace| entries.get_mut(namespace)) else {
            return;
        };
        let labels = json!(pod.labels);
        let hash = hash(pod.name.as_deref().unwrap_or_default());
        let carried = labels[SIDECAR_LABEL].as_str();
        for (name, entry) in profiles.iter_mut().filter(|(_, entry)| !entry.dirty) {
            entry.dirty =
                carried == Some(name) || entry.pods.contains(&hash) || entry.injector.selects(&labels);
        }
    }

    /// Every profile in `scope` is to be looked at.
    pub(super) fn all_touched(&self, scope: Option<&str>) {
        let mut entries = self.entries();
        let here = entries.iter_mut().filter(|(namespace, _)| is_in(scope, namespace));
        here.flat_map(|(_, profiles)| profiles.values_mut()).for_each(|entry| entry.dirty = true);
    }

    /// Up to `room` profiles in `scope` that may be looked at now.
    pub(super) fn take_due(&self, scope: Option<&str>, now: Instant, room: usize) -> Vec<Job> {
        let mut entries = self.entries();
        let here = entries.iter_mut().filter(|(namespace, _)| is_in(scope, namespace));
        let mut due: Vec<_> = here
            .flat_map(|(namespace, profiles)| {
                let due = |entry: &Entry| {
                    entry.dirty && !entry.looking && entry.not_before.is_none_or(|time| time <= now)
                };
                let due = profiles.iter().filter(move |(_, entry)| due(entry));
                due.map(|(name, entry)| (entry.not_before, namespace.clone(), name.clone()))
            })
            .collect();
        // Those that have waited longest.
        due.sort_unstable();
        due.truncate(room);
        due.into_iter()
            .filter_map(|(_, namespace, name)| job(entries.get_mut(&namespace)?, namespace, name))
            .collect()
    }

    /// Keeps an answer that took this long. True when it is news.
    pub(super) fn keep(&self, job: &Job, look: Look, now: Instant, took: Duration) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&job.namespace).and_then(|profiles| profiles.get_mut(&job.profile))
        else {
            return false;
        };
        entry.looking = false;
        entry.not_before = Some(now + SHORTEST.max(took * SHARE));
        entry.pods = look.pods;
        let news = entry.answer.as_ref() != Some(&look.answer);
        entry.answer = Some(look.answer);
        news
    }

    /// A look failed: what was known stays, and it is tried again.
    pub(super) fn failed(&self, job: &Job, now: Instant) {
        let mut entries = self.entries();
        let entry = entries.get_mut(&job.namespace).and_then(|profiles| profiles.get_mut(&job.profile));
        if let Some(entry) = entry {
            entry.looking = false;
            entry.dirty = true;
            entry.not_before = Some(now + AFTER_FAILURE);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while a lock is held; if it did, what is in it would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows one profile of a namespace. True when it is new or was edited.
fn note(
    known: &mut BTreeMap<String, Entry>,
    name: &str,
    profile: &TelemetryProfile,
    settings: &Settings,
    now: Instant,
) -> bool {
    let meta = &profile.metadata;
    let same = |old: &Entry| old.uid == meta.uid && old.resource_version == meta.resource_version;
    if known.get(name).is_some_and(same) {
        return false;
    }
    let old = known.remove(name).filter(|old| old.uid == meta.uid);
    let edited = old.as_ref().is_none_or(|old| old.generation != meta.generation);
    let injector = Arc::new(Injector::new(profile, settings));
    let about = About::of(profile, &injector);
    let since = old.as_ref().filter(|old| old.about == about).map_or(now, |old| old.since);
    let (looking, not_before, pods, answer) =
        old.map(|old| (old.looking, old.not_before, old.pods, old.answer)).unwrap_or_default();
    let entry = Entry {
        uid: meta.uid.clone(),
        generation: meta.generation,
        resource_version: meta.resource_version.clone(),
        injector,
        about,
        since,
        // Whether a pod can be injected depends on the profile's status, too.
        dirty: true,
        looking,
        not_before,
        pods,
        answer,
    };
    known.insert(name.to_owned(), entry);
    edited
}

fn job(profiles: &mut BTreeMap<String, Entry>, namespace: String, profile: String) -> Option<Job> {
    let others = profiles.iter().filter(|(other, _)| **other != profile);
    let others = others.map(|(other, entry)| (other.clone(), Arc::clone(&entry.injector))).collect();
    let entry = profiles.get_mut(&profile)?;
    entry.dirty = false;
    entry.looking = true;
    let (about, injector) = (entry.about.clone(), Arc::clone(&entry.injector));
    Some(Job { namespace, profile, about, injector, others })
}

fn is_in(scope: Option<&str>, namespace: &str) -> bool {
    scope.is_none_or(|scope| scope == namespace)
}

/// A name in eight bytes. Two that meet by chance cost one look too many.
pub(super) fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;

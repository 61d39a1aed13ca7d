//! The pods of a profile → which have its sidecar, which lack it, and which other profiles select them, too. Pure.
//!
//! In: pods as raw JSON, the profile's [`Injector`], those of the other profiles in the namespace. Out: [`Sidecars`], a plain
//! value: two of them are equal while nothing has changed that status or a rollout depends on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::inject::{Injector, Refusal, SIDECAR_LABEL, State};
use crate::plan::scrape::selector_text;
use crate::profile::TelemetryProfile;
use crate::validate::label_selector;

/// Annotation of a template that was restarted, on its pods, too; the one of `kubectl rollout restart`.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// What is known of one profile's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecars {
    /// The profile as far as it decides what is looked for.
    pub about: About,
    /// How many pods have the present sidecar.
    pub injected: usize,
    /// How many opt out.
    pub opted_out: usize,
    /// Those that lack the present sidecar, the worst first, then by name.
    pub lacking: Vec<Lacking>,
    /// Where a restart would help some of them: the workloads of all of the pods.
    pub workloads: BTreeSet<Workload>,
    /// Other profiles that select one of these pods, each with the first such pod by name.
    pub overlaps: BTreeMap<String, String>,
}

/// The part of a profile that decides which pods are looked for and what is right for them. An answer about another one
/// says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The profile's selector, as the API server's `labelSelector` parameter.
    pub selector: String,
    /// A hash of the sidecar that the pods are to have; fixed where they are to have none.
    pub fingerprint: String,
}

/// A pod without the present sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its name.
    pub pod: String,
    /// What it lacks.
    pub lack: Lack,
    /// What keeps it.
    pub owner: Owner,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its template's restart, if it comes from one.
    pub restarted_at: Option<String>,
}

/// How a pod lacks the present sidecar, the worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It has none, and nothing speaks against one.
    Missed,
    /// It cannot have one.
    Refused(Refusal),
    /// It has the sidecar of another profile, which selects it, too.
    Taken(String),
    /// It has an older one: what differs.
    Outdated(String),
}

impl Lack {
    const fn rank(&self) -> u8 {
        match self {
            Self::Missed => 0,
            Self::Refused(_) => 1,
            Self::Taken(_) => 2,
            Self::Outdated(_) => 3,
        }
    }

    /// True when the pod that takes its place will have the present sidecar.
    #[must_use]
    pub const fn ends_with_a_new_pod(&self) -> bool {
        matches!(self, Self::Missed | Self::Outdated(_))
    }
}

/// What makes a pod anew when it goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A workload that can be restarted.
    Workload(Workload),
    /// Something else: a Job, a ReplicaSet of its own, another project's kind.
    Other {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Nothing.
    Nobody,
}

/// A workload that can be restarted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its UID: another workload of that name is none of ours.
    pub uid: String,
}

impl Workload {
    /// `Kind/name`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

/// Kinds of workloads whose template can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

impl WorkloadKind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// The resource's name in URLs and RBAC rules.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    fn named(kind: &str) -> Option<Self> {
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet]
            .into_iter()
            .find(|known| known.as_str() == kind)
    }
}

/// The controller in a list of owner references.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Controller {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Controller {
    /// The controller of an object, from its metadata. Only the kinds of `apps/v1` and `batch/v1` are meant by their names;
    /// others are told with their group.
    #[must_use]
    pub fn of(metadata: &Value) -> Option<Self> {
        let owners = metadata["ownerReferences"].as_array()?;
        let owner = owners.iter().find(|owner| owner["controller"] == true)?;
        let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
        let group =
            owner["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group);
        let kind = match group {
            None | Some("apps" | "batch") => text("kind"),
            Some(group) => format!("{}.{group}", text("kind")),
        };
        Some(Self { kind, name: text("name"), uid: text("uid") })
    }

    /// True for what may be kept by a Deployment.
    #[must_use]
    pub fn is_replica_set(&self) -> bool {
        self.kind == "ReplicaSet"
    }

    /// What keeps the pods of this controller, where it is not kept by another one.
    #[must_use]
    pub fn owner(self) -> Owner {
        match WorkloadKind::named(&self.kind) {
            Some(kind) => Owner::Workload(Workload { kind, name: self.name, uid: self.uid }),
            None => Owner::Other { kind: self.kind, name: self.name },
        }
    }
}

impl About {
    /// What this profile decides.
    #[must_use]
    pub fn of(profile: &TelemetryProfile, injector: &Injector) -> Self {
        let fingerprint =
            if profile.spec.sidecar.enabled { injector.fingerprint() } else { "none".to_owned() };
        Self { selector: selector_text(&label_selector(&profile.spec.selector)), fingerprint }
    }
}

/// True for a pod that still runs or will: not ended and not going.
#[must_use]
pub fn counts(pod: &Value) -> bool {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    !ended && pod["metadata"]["deletionTimestamp"].is_null()
}

/// Pods that were looked at, on the way to [`Sidecars`]: owners are not resolved yet.
#[derive(Debug, Default)]
pub struct Count {
    injected: usize,
    opted_out: usize,
    lacking: Vec<(Lacking, Option<Controller>)>,
    keepers: BTreeSet<Controller>,
    overlaps: BTreeMap<String, String>,
}

impl Count {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at one pod. `others` are the other profiles of the namespace by name. False when it is none of the profile's.
    pub fn add<'a>(
        &mut self,
        injector: &Injector,
        others: impl Iterator<Item = (&'a str, &'a Injector)>,
        pod: &Value,
    ) -> bool {
        if !counts(pod) {
            return false;
        }
        let metadata = &pod["metadata"];
        let Some(state) = injector.state(pod) else { return false };
        if state == State::OptedOut {
            self.opted_out += 1;
            return true;
        }
        let name = metadata["name"].as_str().unwrap_or_default();
        let mut taken = None;
        if injector.selects(&metadata["labels"]) {
            for (other, _) in others.filter(|(_, other)| other.selects(&metadata["labels"])) {
                let first = self.overlaps.entry(other.to_owned()).or_insert_with(|| name.to_owned());
                if name < first.as_str() {
                    name.clone_into(first);
                }
                if metadata["labels"][SIDECAR_LABEL] == other {
                    taken = Some(Lack::Taken(other.to_owned()));
                }
            }
        }
        let lack = taken.or(match state {
            State::Injected | State::OptedOut => None,
            State::Outdated(what) => Some(Lack::Outdated(what)),
            State::Missing(None) => Some(Lack::Missed),
            State::Missing(Some(refusal)) => Some(Lack::Refused(refusal)),
        });
        let keeper = Controller::of(metadata);
        self.keepers.extend(keeper.clone());
        match lack {
            None => self.injected += 1,
            Some(lack) => self.lacking.push((lacking(name, lack, metadata), keeper)),
        }
        true
    }

    /// The ReplicaSets whose own owner must be known: none where no restart would help.
    pub fn replica_sets(&self) -> impl Iterator<Item = &Controller> {
        self.keepers.iter().filter(|keeper| self.helps() && keeper.is_replica_set())
    }

    fn helps(&self) -> bool {
        self.lacking.iter().any(|(lacking, _)| lacking.lack.ends_with_a_new_pod())
    }

    /// The answer. `deployments` has the controllers of [`Count::replica_sets`] by the UID of the ReplicaSet.
    #[must_use]
    pub fn finish(self, about: About, deployments: &BTreeMap<String, Controller>) -> Sidecars {
        let owner = |own: Controller| deployments.get(&own.uid).cloned().unwrap_or(own).owner();
        let helps = self.helps();
        let lacking = self.lacking.into_iter();
        let mut lacking: Vec<_> = lacking
            .map(|(lacking, keeper)| Lacking { owner: keeper.map_or(Owner::Nobody, owner), ..lacking })
            .collect();
        lacking.sort_by(|a, b| (a.lack.rank(), &a.pod).cmp(&(b.lack.rank(), &b.pod)));
        let workloads = self.keepers.into_iter().filter(|_| helps).filter_map(|keeper| match owner(keeper) {
            Owner::Workload(workload) => Some(workload),
            Owner::Other { .. } | Owner::Nobody => None,
        });
        Sidecars {
            about,
            injected: self.injected,
            opted_out: self.opted_out,
            lacking,
            workloads: workloads.collect(),
            overlaps: self.overlaps,
        }
    }
}

fn lacking(name: &str, lack: Lack, metadata: &Value) -> Lacking {
    Lacking {
        pod: name.to_owned(),
        lack,
        owner: Owner::Nobody,
        created: metadata["creationTimestamp"].as_str().and_then(|time| time.parse().ok()),
        restarted_at: metadata["annotations"][RESTARTED_AT].as_str().map(str::to_owned),
    }
}

impl Sidecars {
    /// How many pods have an older sidecar.
    #[must_use]
    pub fn outdated(&self) -> usize {
        self.lacking.iter().filter(|lacking| matches!(lacking.lack, Lack::Outdated(_))).count()
    }

    /// How many pods have none of this profile.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.lacking.len() - self.outdated()
    }

    /// The pods of this workload whose lack ends when they are made anew.
    #[must_use]
    pub fn of(&self, workload: &Workload) -> Vec<&Lacking> {
        let helps = self.lacking.iter().filter(|lacking| lacking.lack.ends_with_a_new_pod());
        helps
            .filter(|lacking| matches!(&lacking.owner, Owner::Workload(owner) if owner == workload))
            .collect()
    }
}

#[cfg(test)]
mod tests;

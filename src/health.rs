//! What a Prometheus says of a profile's targets and rules, and which series that the profile needs it lacks.
//!
//! In: a [`Subject`] (what the profile has Prometheus do), the cluster's Prometheus objects, HTTP. Out: a [`Health`], a plain
//! value without times, counters or ports by chance: two of them are equal while nothing has changed. Only [`ask`] and
//! `search` talk to the cluster and to Prometheus.
//!
//! Who is asked: the managed Prometheus; the one of a Prometheus object that selects the profile's monitors and rules;
//! the administrator's `--prometheus-url`. Never an address from a profile: a profile must not make the operator call
//! addresses.

mod answer;
pub mod ask;
pub mod choose;
pub(crate) mod http;
pub mod missing;
mod nearest;
pub mod needs;
mod search;
pub mod subject;

use std::collections::BTreeSet;

pub use missing::{Cause, Missing, Report};
pub use needs::{Need, NeedKind, needs};
pub use subject::Subject;

/// What is known of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The application's own metrics.
    pub application: Sight<Targets>,
    /// The metrics that the collector exposes.
    pub collector: Sight<Targets>,
    /// The SLO rules; none when the profile has none.
    pub rules: Option<Sight<Rules>>,
    /// The series that SLOs and instruments need; none when nobody was asked, because targets are not up.
    pub series: Option<Sight<Report>>,
}

/// How far one thing could be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight<T> {
    /// There is no Prometheus to ask; the text says why.
    Nobody(String),
    /// No Prometheus object selects the object that declares it: one text for each, with what it wants.
    Unselected(Vec<String>),
    /// It does not answer.
    Unreachable {
        /// Who was asked.
        prometheus: Prometheus,
        /// What went wrong.
        error: String,
    },
    /// It has answered.
    Seen {
        /// Who was asked.
        prometheus: Prometheus,
        /// The answer.
        seen: T,
    },
}

/// A Prometheus that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// What it is, for messages: an object, or the operator's own setting.
    pub name: String,
    /// Where it answers, without a slash at the end.
    pub url: String,
    /// True for the profile's own.
    pub managed: bool,
}

/// What a Prometheus says of one scrape job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// It has no such job.
    NotLoaded {
        /// It refused its last configuration.
        refused: bool,
    },
    /// The job has no target, and no pod runs that could be one.
    NoPods,
    /// The job has no target, although pods run that should be.
    NoTargets,
    /// The job has targets.
    Active {
        /// Those that it cannot scrape, by name.
        down: Vec<Target>,
        /// True when some have not been scraped yet.
        pending: bool,
    },
}

impl Targets {
    /// True when every target is scraped.
    #[must_use]
    pub fn are_up(&self) -> bool {
        matches!(self, Self::Active { down, pending: false } if down.is_empty())
    }
}

/// A target that cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The pod, or the address where no pod is known.
    pub pod: String,
    /// TCP port.
    pub port: u16,
    /// Path.
    pub path: String,
    /// Why not.
    pub error: String,
}

/// What a Prometheus says of a profile's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// It refused its last configuration, so what it has loaded may be old.
    pub refused: bool,
    /// The profile's groups that it has loaded.
    pub loaded: BTreeSet<String>,
    /// Rules whose last evaluation failed.
    pub failing: Vec<Failing>,
}

/// A rule whose last evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failing {
    /// Its group.
    pub group: String,
    /// Its name.
    pub rule: String,
    /// Why.
    pub error: String,
}

impl Health {
    /// True when a Prometheus that should answer did not.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        let rules = self.rules.as_ref().is_some_and(|sight| matches!(sight, Sight::Unreachable { .. }));
        let series = self.series.as_ref().is_some_and(|sight| matches!(sight, Sight::Unreachable { .. }));
        let unreachable = |sight: &Sight<Targets>| matches!(sight, Sight::Unreachable { .. });
        series || rules || unreachable(&self.application) || unreachable(&self.collector)
    }
}

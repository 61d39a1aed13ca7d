//! Why a pod has its sidecar, or has none: (a pod or a pod template, the profiles of its namespace, the way of injection) →
//! [`Explanation`]. Pure, no cluster.

mod advice;
mod way;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::inject::{Decision, INJECT_LABEL, Injector, Refusal, SIDECAR_LABEL, State};
use crate::profile::TelemetryProfile;
use crate::settings::Settings;
use advice::Workload;
pub use way::WayReport;

/// Whose sidecar it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// `Pod`, or the kind of the workload.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The pod, or the one that the workload would make.
    pub pod: Value,
    /// True for a pod that exists.
    pub exists: bool,
}

/// What is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It has the present sidecar.
    Injected,
    /// It has an older one.
    Outdated,
    /// It should have one and has none.
    Missing,
    /// It would get one when it is made.
    WouldBeInjected,
    /// It should have one and cannot.
    Refused,
    /// It opts out by label.
    OptedOut,
    /// No profile wants a sidecar in it.
    NotSelected,
    /// It has the sidecar of a profile that is gone or does not want it any more.
    Abandoned,
}

/// A profile of the namespace, as seen from the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProfileReport {
    /// Its name.
    pub name: String,
    /// True when it wants a sidecar in the pod.
    pub selects: bool,
    /// Why not; empty when it does.
    pub why: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What is so.
    pub verdict: Verdict,
    /// The profile whose sidecar it is or would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Why it is so.
    pub why: String,
    /// By which way pods get their sidecar here.
    pub way: WayReport,
    /// Every profile of the namespace.
    pub profiles: Vec<ProfileReport>,
    /// What to do, one step each; empty when there is nothing to do.
    pub to_do: Vec<String>,
}

impl Explanation {
    /// True when something is not as the profiles want it.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        match self.verdict {
            Verdict::Outdated | Verdict::Missing | Verdict::Refused | Verdict::Abandoned => true,
            Verdict::WouldBeInjected => self.way.works == Some(false),
            Verdict::Injected | Verdict::OptedOut | Verdict::NotSelected => false,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = format!("{:?}", self.verdict);
        writeln!(f, "{}/{} in namespace {}: {verdict}", self.kind, self.name, self.namespace)?;
        if let Some(profile) = &self.profile {
            writeln!(f, "profile  {profile}")?;
        }
        writeln!(f, "why      {}", self.why)?;
        writeln!(f, "way      {}", self.way.message)?;
        if self.profile.is_none() {
            for profile in &self.profiles {
                writeln!(f, "not      {}: {}", profile.name, profile.why)?;
            }
        }
        self.to_do.iter().try_for_each(|step| writeln!(f, "to do    {step}"))
    }
}

/// A profile and the settings by which its pods are injected.
pub type Candidate = (TelemetryProfile, Settings);

/// Explains. `candidates` are all profiles of the subject's namespace.
#[must_use]
pub fn explain(subject: Subject, candidates: &[Candidate], way: WayReport) -> Explanation {
    let labels = &subject.pod["metadata"]["labels"];
    let mut seen: Vec<_> = candidates.iter().map(|candidate| Seen::new(candidate, labels)).collect();
    seen.sort_by(|one, other| one.name.cmp(&other.name));
    let judged = judge(&subject, &seen);
    let auto = seen.iter().any(|one| one.restarts && Some(&one.name) == judged.profile.as_ref());
    let workload = Workload::of(&subject);
    let to_do = advice::steps(judged.verdict, &workload, auto, &way);
    let profiles = seen.iter().map(Seen::report).collect();
    let Subject { kind, name, namespace, .. } = subject;
    let Judged { verdict, profile, why } = judged;
    Explanation { kind, name, namespace, verdict, profile, why, way, profiles, to_do }
}

/// A profile as seen from a pod.
struct Seen {
    name: String,
    injector: Injector,
    selects: bool,
    why_not: String,
    restarts: bool,
}

impl Seen {
    fn new((profile, settings): &Candidate, labels: &Value) -> Self {
        let injector = Injector::new(profile, settings);
        let selects = injector.selects(labels);
        Self {
            name: profile.metadata.name.clone().unwrap_or_default(),
            why_not: if selects { String::new() } else { advice::why_not_selected(profile, labels) },
            restarts: profile.spec.sidecar.rollout == crate::profile::Rollout::Auto,
            injector,
            selects,
        }
    }

    fn report(&self) -> ProfileReport {
        ProfileReport { name: self.name.clone(), selects: self.selects, why: self.why_not.clone() }
    }
}

struct Judged {
    verdict: Verdict,
    profile: Option<String>,
    why: String,
}

fn judge(subject: &Subject, seen: &[Seen]) -> Judged {
    let selecting: Vec<_> = seen.iter().filter(|one| one.selects).collect();
    let mut judged = match subject.pod["metadata"]["labels"][SIDECAR_LABEL].as_str() {
        Some(owner) => judge_injected(subject, owner, seen),
        None if subject.exists => judge_present(subject, &selecting),
        None => judge_future(subject, &selecting),
    };
    if selecting.len() > 1 {
        let names: Vec<_> = selecting.iter().map(|one| one.name.as_str()).collect();
        judged.why += &format!(
            ". The profiles {} all select it, and a pod has one sidecar: narrow their selectors",
            names.join(", ")
        );
    }
    judged
}

/// It has a sidecar, and its label says whose.
fn judge_injected(subject: &Subject, owner: &str, seen: &[Seen]) -> Judged {
    let profile = Some(owner.to_owned());
    let abandoned = |why: String| Judged { verdict: Verdict::Abandoned, profile: profile.clone(), why };
    let Some(one) = seen.iter().find(|one| one.name == owner) else {
        return abandoned(format!("its label {SIDECAR_LABEL} names profile {owner}, which is not there"));
    };
    if !one.selects {
        return abandoned(format!("it has the sidecar of profile {owner}, but {}", one.why_not));
    }
    let (verdict, why) = match one.injector.state(&subject.pod) {
        Some(State::Outdated(what)) => (Verdict::Outdated, format!("its sidecar is an older one: {what}")),
        Some(State::Missing(_)) | None => {
            (Verdict::Missing, format!("it has the label {SIDECAR_LABEL}, but no sidecar"))
        }
        Some(State::OptedOut) => (
            Verdict::Outdated,
            format!("it has a sidecar, and its label {INJECT_LABEL} says that it wants none"),
        ),
        Some(State::Injected) => {
            (Verdict::Injected, "it has the sidecar that its profile describes".to_owned())
        }
    };
    Judged { verdict, profile, why }
}

/// It exists and has none.
fn judge_present(subject: &Subject, selecting: &[&Seen]) -> Judged {
    for one in selecting {
        let (verdict, why) = match one.injector.state(&subject.pod) {
            Some(State::Missing(Some(refusal))) => (Verdict::Refused, refused(&refusal)),
            Some(State::Missing(None)) => (
                Verdict::Missing,
                "it was made before the profile selected it, or while injection did not work".to_owned(),
            ),
            Some(State::OptedOut) => (Verdict::OptedOut, opted_out()),
            Some(State::Injected | State::Outdated(_)) | None => continue,
        };
        return Judged { verdict, profile: Some(one.name.clone()), why };
    }
    not_selected()
}

/// It does not exist yet: the first profile by name that can inject does.
fn judge_future(subject: &Subject, selecting: &[&Seen]) -> Judged {
    let mut judged = not_selected();
    for one in selecting {
        let (verdict, why) = match one.injector.decide(&subject.pod) {
            Decision::Inject => (Verdict::WouldBeInjected, "nothing speaks against a sidecar".to_owned()),
            Decision::Injected => (Verdict::Injected, "its manifest has the sidecar already".to_owned()),
            Decision::OptedOut => (Verdict::OptedOut, opted_out()),
            Decision::Refused(refusal) => (Verdict::Refused, refused(&refusal)),
            Decision::NotSelected => continue,
        };
        judged = Judged { verdict, profile: Some(one.name.clone()), why };
        if verdict == Verdict::WouldBeInjected {
            break;
        }
    }
    judged
}

fn not_selected() -> Judged {
    let why = "no profile of its namespace wants a sidecar in it".to_owned();
    Judged { verdict: Verdict::NotSelected, profile: None, why }
}

fn opted_out() -> String {
    format!("its label {INJECT_LABEL} says that it wants no sidecar")
}

fn refused(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.reason, refusal.message)
}

#[cfg(test)]
mod tests;

//! What is known of the application's pods → the condition `SidecarInjected`, the counts, and who else selects a pod. Pure.

use std::collections::BTreeSet;

use super::conditions::{ConditionType, Finding, Reason};
use super::prometheus::View;
use super::value_of;
use crate::inject::INSTALL_POLICY;
use crate::observed::{Installed, Way, WebhookState};
use crate::profile::{PodAttention, PodState, SidecarStatus};
use crate::rollout::{Rollout, Verdict};
use crate::sidecars::{Lack, Lacking, Owner, Sidecars, Workload};

/// How many things of a kind a message names.
const NAMED: usize = 3;
/// How many pods status lists.
const LISTED: usize = 5;

/// How pods get their sidecar, and how far that works.
#[derive(Clone, Debug, Default)]
pub struct Injection {
    /// The way.
    pub way: Way,
    /// True when the administrator wants none.
    pub off: bool,
    /// The operator's webhook, which counts where that is the way.
    pub webhook: WebhookState,
}

impl Injection {
    /// True when a pod that is made now gets its sidecar.
    #[must_use]
    pub fn works(&self) -> bool {
        match self.way {
            Way::Policy(ref installed) => *installed == Installed::Present,
            Way::Webhook => self.webhook == WebhookState::Registered,
            Way::None => false,
        }
    }
}

/// The counts, and the pods that need attention.
pub(super) fn counts(sidecars: &Sidecars) -> SidecarStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    SidecarStatus {
        injected: number(sidecars.injected),
        outdated: number(sidecars.outdated()),
        missing: number(sidecars.missing()),
        opted_out: number(sidecars.opted_out),
        attention: sidecars.lacking.iter().take(LISTED).map(attention).collect(),
    }
}

fn attention(lacking: &Lacking) -> PodAttention {
    let (state, reason) = match &lacking.lack {
        Lack::Missed => (PodState::Missing, "Missed"),
        Lack::Refused(refusal) => (PodState::Missing, refusal.reason),
        Lack::Taken(_) => (PodState::Missing, "SelectorOverlap"),
        Lack::Outdated(_) => (PodState::Outdated, "Outdated"),
    };
    let (pod, message) = (lacking.pod.clone(), why(&lacking.lack));
    PodAttention { pod, state, reason: reason.to_owned(), message }
}

/// What is so with a pod, after its name.
fn why(lack: &Lack) -> String {
    match lack {
        Lack::Missed => "was made without its sidecar".to_owned(),
        Lack::Refused(refusal) => format!("cannot have one: {}", refusal.message),
        Lack::Taken(profile) => format!("has the sidecar of the profile {profile}"),
        Lack::Outdated(what) => format!("has an older one: {what}"),
    }
}

/// Which other profiles select pods of this one.
pub(super) fn overlap(sidecars: &Sidecars) -> Option<String> {
    let list: Vec<_> = sidecars
        .overlaps
        .iter()
        .map(|(profile, pod)| format!("the profile {profile} selects pod {pod}, too"))
        .collect();
    (!list.is_empty()).then(|| {
        format!(
            "{}; a pod gets one sidecar only: let the selectors have no pod in common, or set sidecar.enabled to false in all \
             but one",
            named(&list)
        )
    })
}

impl View<'_> {
    /// The condition `SidecarInjected`.
    pub(super) fn sidecar(&self) -> Finding {
        let kind = ConditionType::SidecarInjected;
        let sidecars = self.running.sidecars.as_ref();
        if !self.profile.sidecar || !self.profile.has_collector() {
            let why = if self.profile.sidecar {
                "no signal passes through a sidecar"
            } else {
                "spec.sidecar.enabled is false"
            };
            let none = sidecars.is_none_or(|sidecars| sidecars.lacking.is_empty());
            return match sidecars.filter(|_| !none) {
                Some(sidecars) => self.lacking(sidecars),
                None => Finding::unknown(kind, Reason::NotRequested, why),
            };
        }
        if let Some(trouble) = self.trouble_of_way() {
            return trouble;
        }
        let Some(sidecars) = sidecars else { return self.not_looked_yet() };
        if !sidecars.lacking.is_empty() && self.running.injection.off {
            return Finding::unknown(
                kind,
                Reason::InjectionOff,
                "the operator's --injection is none, and there are pods without the present sidecar: inject their manifests by \
                 `telemetry-operator inject`, or let them send to the endpoints in status",
            );
        }
        if !sidecars.lacking.is_empty() {
            return self.lacking(sidecars);
        }
        match (sidecars.injected, sidecars.opted_out) {
            (0, 0) => Finding::unknown(kind, Reason::NoPods, "spec.selector selects no pod that runs"),
            (0, _) => Finding::unknown(
                kind,
                Reason::NoPods,
                "every pod that spec.selector selects opts out by its label",
            ),
            _ => Finding::yes(
                kind,
                Reason::AllInjected,
                "every pod has the present sidecar, but for those that opt out",
            ),
        }
    }

    /// Why pods that are made now get no sidecar.
    fn trouble_of_way(&self) -> Option<Finding> {
        let kind = ConditionType::SidecarInjected;
        let injection = &self.running.injection;
        match &injection.way {
            Way::Policy(Installed::Present) => None,
            Way::Policy(Installed::Missing(what)) => {
                let message = format!(
                    "{what} is not there, and pods that are made now get no sidecar: {INSTALL_POLICY}, or with injection.mode=Webhook"
                );
                Some(Finding::no(kind, Reason::PolicyMissing, message))
            }
            Way::Policy(Installed::Differs(what, field)) => {
                let message = format!(
                    "{what} is not the one of this version: it differs in {field}; {INSTALL_POLICY} and this version's chart, or apply \
                     what `telemetry-operator policy` prints with the operator's own settings"
                );
                Some(Finding::no(kind, Reason::PolicyDiffers, message))
            }
            Way::Webhook => match &injection.webhook {
                WebhookState::Failed(why) => {
                    let message = format!("pods that are made now get no sidecar: {why}");
                    Some(Finding::no(kind, Reason::WebhookFailed, message))
                }
                WebhookState::Starting | WebhookState::StandingBy | WebhookState::Registered => None,
            },
            Way::None if injection.off => None,
            Way::None => Some(self.not_looked_yet()),
        }
    }

    /// A fresh operator knows no pods for some seconds. What was known of the same profile stays as long.
    fn not_looked_yet(&self) -> Finding {
        let kind = ConditionType::SidecarInjected;
        let known = value_of(&self.present.conditions, kind)
            .filter(|_| self.present.observed_generation == Some(self.generation));
        match known.and_then(|known| Some((known, Reason::named(&known.reason)?))) {
            Some((known, reason)) => {
                Finding { kind, status: known.status, reason, message: known.message.clone() }
            }
            None => Finding::unknown(
                kind,
                Reason::NotLookedYet,
                "the pods have not been looked at yet; this takes some seconds",
            ),
        }
    }

    /// There are pods without the present sidecar.
    fn lacking(&self, sidecars: &Sidecars) -> Finding {
        let kind = ConditionType::SidecarInjected;
        let those = |fits: fn(&Lack) -> bool| -> Vec<&Lacking> {
            sidecars.lacking.iter().filter(|lacking| fits(&lacking.lack)).collect()
        };
        let missed = those(|lack| matches!(lack, Lack::Missed));
        let refused = those(|lack| matches!(lack, Lack::Refused(_)));
        let outdated = those(|lack| matches!(lack, Lack::Outdated(_)));
        if !missed.is_empty() || !outdated.is_empty() {
            if let Some(finding) = self.running.rollout.as_ref().and_then(|rollout| self.rollout(rollout)) {
                return finding;
            }
            let (reason, pods) = if missed.is_empty() {
                (Reason::PodsOutdated, outdated)
            } else {
                (Reason::PodsMissing, missed)
            };
            let message = format!("{}; {}", told(&pods), remedy(&pods, &self.profile.namespace));
            return Finding::no(kind, reason, message);
        }
        if refused.is_empty() {
            return Finding::no(
                kind,
                Reason::SelectorOverlap,
                told(&those(|lack| matches!(lack, Lack::Taken(_)))),
            );
        }
        Finding::no(kind, Reason::PodsRefused, told(&refused))
    }

    /// What the operator itself does about it; none when it can do nothing.
    fn rollout(&self, rollout: &Rollout) -> Option<Finding> {
        let kind = ConditionType::SidecarInjected;
        let of =
            |fits: fn(&Verdict) -> bool| rollout.workloads.iter().filter(move |(_, verdict)| fits(verdict));
        let mut useless = rollout.workloads.iter().filter_map(|(workload, verdict)| match verdict {
            Verdict::Useless { pod } => Some((workload, pod)),
            _ => None,
        });
        if let Some((workload, pod)) = useless.next() {
            let (namespace, reference) = (&self.profile.namespace, workload.reference());
            let message = format!(
                "{reference} was restarted for the present sidecar, and its new pod {pod} lacks it all the same; nothing is \
                 restarted until that is mended: `telemetry-operator explain pod {pod} -n {namespace}` says why, and then `{}`",
                restart_command(workload, namespace)
            );
            return Some(Finding::no(kind, Reason::RestartDidNotHelp, message));
        }
        let moving: Vec<_> = of(|verdict| matches!(verdict, Verdict::Restart | Verdict::Rolling))
            .map(|(workload, _)| workload.reference())
            .collect();
        if !moving.is_empty() {
            let message = format!(
                "pods without the present sidecar get it by restarts, one workload after another and each when it has all its \
                 pods: {}",
                named(&moving)
            );
            return Some(Finding::no(kind, Reason::RolloutInProgress, message));
        }
        let held: Vec<_> = rollout
            .workloads
            .iter()
            .filter_map(|(_, verdict)| match verdict {
                Verdict::Held(why) => Some(why.clone()),
                _ => None,
            })
            .collect();
        (!held.is_empty()).then(|| Finding::no(kind, Reason::RolloutBlocked, held_text(&held)))
    }
}

fn held_text(held: &[String]) -> String {
    format!("pods without the present sidecar cannot get it by a restart: {}", named(held))
}

/// The first few pods, and what is so with them.
fn told(pods: &[&Lacking]) -> String {
    let list: Vec<_> =
        pods.iter().map(|lacking| format!("pod {} {}", lacking.pod, why(&lacking.lack))).collect();
    named(&list)
}

/// What to do so that the first few of these pods are made anew.
fn remedy(pods: &[&Lacking], namespace: &str) -> String {
    let mut commands = BTreeSet::new();
    for lacking in pods.iter().take(NAMED) {
        commands.insert(match &lacking.owner {
            Owner::Workload(workload) => {
                format!("`{}`", restart_command(workload, namespace))
            }
            Owner::Other { kind, name } if kind == "Job" => {
                format!("the pods of Job/{name} end as they are, and a new Job's get it")
            }
            Owner::Other { kind, name } => {
                format!("`kubectl -n {namespace} delete pod {}`, which {kind}/{name} makes anew", lacking.pod)
            }
            Owner::Nobody => {
                format!("delete pod {} and create it again, since nothing makes it anew", lacking.pod)
            }
        });
    }
    format!("a new pod gets it: {}", commands.into_iter().collect::<Vec<_>>().join("; "))
}

fn restart_command(workload: &Workload, namespace: &str) -> String {
    let kind = workload.kind.as_str().to_lowercase();
    format!("kubectl -n {namespace} rollout restart {kind}/{}", workload.name)
}

/// The first few of a list, as one text.
fn named(list: &[String]) -> String {
    let more = if list.len() > NAMED { "; and others" } else { "" };
    list.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ") + more
}

#[cfg(test)]
mod tests;

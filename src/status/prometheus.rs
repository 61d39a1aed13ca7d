//! What Prometheus says of targets and rules → two findings. Pure.

use std::collections::BTreeSet;

use super::conditions::{ConditionType, Finding, Reason};
use super::workload::pods;
use super::{LABEL_NOTE, Running, missing, value_of};
use crate::apply::Applied;
use crate::health::{Failing, Health, Prometheus, Rules, Sight, Subject, Target, Targets};
use crate::kinds::ChildKind;
use crate::plan::meta::{Component, child_name};
use crate::plan::{Plan, slo};
use crate::profile::{ConditionStatus, TelemetryProfileStatus};
use crate::validate::{Delivery, Metrics, ValidatedProfile};

/// How many things of a kind a message names.
const NAMED: usize = 3;
pub(super) const NOT_ASKED: &str = "Prometheus has not been asked yet; this takes some seconds";

/// One reconcile's view, for both findings.
pub(super) struct View<'a> {
    pub(super) profile: &'a ValidatedProfile,
    pub(super) plan: &'a Plan,
    pub(super) applied: &'a Applied,
    pub(super) running: &'a Running,
    /// The status before, and the generation that is dealt with now.
    pub(super) present: &'a TelemetryProfileStatus,
    pub(super) generation: i64,
}

impl View<'_> {
    /// The condition `ScrapeTargetsUp`.
    pub(super) fn targets(&self) -> Finding {
        let kind = ConditionType::ScrapeTargetsUp;
        let Some(metrics) = &self.profile.metrics else {
            return Finding::unknown(kind, Reason::NotRequested, "spec.metrics.enabled is false");
        };
        let kinds = [ChildKind::PodMonitor, ChildKind::ServiceMonitor];
        if let Some(missing) = missing(self.plan, self.applied, kind, &kinds, Component::Metrics) {
            return missing;
        }
        if let Some(not_ready) = self.managed_not_ready(kind) {
            return not_ready;
        }
        match &self.running.health {
            Some(health) => self.of_jobs(metrics, health),
            None if Subject::of(self.profile).is_some() => {
                self.not_asked_yet(Finding::no(kind, Reason::TargetsPending, NOT_ASKED))
            }
            None => self.unverified(metrics, "the operator has no --prometheus-url"),
        }
    }

    /// The condition `RulesProvisioned`.
    pub(super) fn rules(&self) -> Finding {
        let kind = ConditionType::RulesProvisioned;
        let Some(metrics) = self.profile.metrics.as_ref().filter(|_| !self.profile.slos.is_empty()) else {
            return Finding::unknown(kind, Reason::NotRequested, "the profile has no SLOs");
        };
        let kinds = [ChildKind::PrometheusRule];
        if let Some(missing) = missing(self.plan, self.applied, kind, &kinds, Component::Slo) {
            return missing;
        }
        if self.managed_not_ready(kind).is_some() {
            let message = format!("{} has the rules and is not ready", self.declared(metrics.rules_by, Rule));
            return Finding::no(kind, Reason::RulesPending, message);
        }
        let pending = || self.not_asked_yet(Finding::no(kind, Reason::RulesPending, NOT_ASKED));
        match self.running.health.as_ref().map(|health| &health.rules) {
            Some(Some(sight)) => self.of_rules(metrics, sight),
            // The answer is one to an older profile.
            Some(None) => pending(),
            None if Subject::of(self.profile).is_some() => pending(),
            None => self.provisioned(metrics, "the operator has no --prometheus-url"),
        }
    }

    /// The managed Prometheus' pod, where it cannot answer.
    fn managed_not_ready(&self, kind: ConditionType) -> Option<Finding> {
        if !self.profile.has_managed_prometheus() {
            return None;
        }
        let pods = pods(kind, self.profile, Component::Prometheus, self.applied, self.running, "");
        (pods.status != ConditionStatus::True).then_some(pods)
    }

    /// A fresh operator knows no answer for some seconds. What was known of the same profile stays as long; it is not
    /// worth two changes of every profile's status.
    pub(super) fn not_asked_yet(&self, pending: Finding) -> Finding {
        let known = value_of(&self.present.conditions, pending.kind)
            .filter(|_| self.present.observed_generation == Some(self.generation));
        match known.and_then(|known| Some((known, Reason::named(&known.reason)?))) {
            Some((known, reason)) if reason.is_of_prometheus() => {
                Finding { kind: pending.kind, status: known.status, reason, message: known.message.clone() }
            }
            _ => pending,
        }
    }

    /// The worse of the two jobs' findings.
    fn of_jobs(&self, metrics: &Metrics, health: &Health) -> Finding {
        let application = self.of_job(metrics, &health.application, Application);
        let collector = self.of_job(metrics, &health.collector, Collector);
        let both = [application, collector];
        let worst = both.iter().find(|finding| finding.status == ConditionStatus::False);
        let unknown = || both.iter().find(|finding| finding.status == ConditionStatus::Unknown);
        match worst.or_else(unknown) {
            Some(finding) => finding.clone(),
            None => both[0].clone(),
        }
    }

    fn of_job(&self, metrics: &Metrics, sight: &Sight<Targets>, what: What) -> Finding {
        let kind = ConditionType::ScrapeTargetsUp;
        let declared = self.declared(metrics.scrape_by, what);
        match sight {
            Sight::Nobody(why) => self.unverified(metrics, why),
            Sight::Unselected(misses) => not_selected(kind, &declared, misses),
            Sight::Unreachable { prometheus, error } => unreachable(kind, prometheus, error),
            Sight::Seen { prometheus, seen } => self.seen(metrics, prometheus, seen, what),
        }
    }

    fn seen(&self, metrics: &Metrics, prometheus: &Prometheus, seen: &Targets, what: What) -> Finding {
        let kind = ConditionType::ScrapeTargetsUp;
        let name = &prometheus.name;
        let declared = self.declared(metrics.scrape_by, what);
        match seen {
            Targets::NotLoaded { refused } => {
                let next = if *refused { refusal() } else { loading(metrics.scrape_by, &declared) };
                let message = format!("{name} does not know the targets of {declared}: {next}");
                Finding::no(kind, Reason::TargetsNotLoaded, message)
            }
            Targets::NoPods => {
                let message = format!("{name} knows the job, and no pod {} runs", self.pods_of(what));
                Finding::unknown(kind, Reason::NoPods, message)
            }
            Targets::NoTargets => {
                let message = format!(
                    "{name} finds no target although pods {} run: its account must be allowed to list pods in the namespace {}",
                    self.pods_of(what),
                    self.profile.namespace
                );
                Finding::no(kind, Reason::NoTargets, message)
            }
            Targets::Active { down, .. } if !down.is_empty() => {
                let first = named(down, |target: &Target| {
                    format!("pod {} port {} path {}: {}", target.pod, target.port, target.path, target.error)
                });
                Finding::no(kind, Reason::TargetsDown, format!("{first}; {}", remedy(down, what, prometheus)))
            }
            Targets::Active { pending: true, .. } => {
                Finding::no(kind, Reason::TargetsPending, format!("{name} has not yet scraped every target"))
            }
            Targets::Active { .. } => {
                Finding::yes(kind, Reason::TargetsUp, format!("{name} scrapes every target"))
            }
        }
    }

    fn of_rules(&self, metrics: &Metrics, sight: &Sight<Rules>) -> Finding {
        let kind = ConditionType::RulesProvisioned;
        let declared = self.declared(metrics.rules_by, Rule);
        let (prometheus, rules) = match sight {
            Sight::Nobody(why) => return self.provisioned(metrics, why),
            Sight::Unselected(misses) => return not_selected(kind, &declared, misses),
            Sight::Unreachable { prometheus, error } => return unreachable(kind, prometheus, error),
            Sight::Seen { prometheus, seen } => (prometheus, seen),
        };
        let name = &prometheus.name;
        let wanted = slo::group_names(self.profile);
        let missing: Vec<_> = wanted.difference(&rules.loaded).collect();
        if !missing.is_empty() {
            let groups = named(&missing, |group| (*group).clone());
            let next = if rules.refused { refusal() } else { loading(metrics.rules_by, &declared) };
            let message = format!("{name} has not loaded {groups} of {declared}: {next}");
            return Finding::no(kind, Reason::RulesNotLoaded, message);
        }
        if rules.refused {
            let message =
                format!("{name} evaluates the rules that it loaded before, perhaps old ones: {}", refusal());
            return Finding::no(kind, Reason::RulesNotLoaded, message);
        }
        let failing: Vec<_> =
            rules.failing.iter().filter(|failing| wanted.contains(&failing.group)).collect();
        if !failing.is_empty() {
            let first =
                named(&failing, |Failing { group, rule, error }| format!("rule {rule} of {group}: {error}"));
            let message = format!("{name} cannot evaluate {first}; correct the SLO's queries in spec.slos");
            return Finding::no(kind, Reason::RulesFailing, message);
        }
        Finding::yes(kind, Reason::RulesLoaded, format!("{name} evaluates the rules of {declared}"))
    }

    fn unverified(&self, metrics: &Metrics, why: &str) -> Finding {
        let declared = [Application, Collector].map(|what| self.declared(metrics.scrape_by, what));
        let message = match metrics.scrape_by {
            Delivery::ConfigMap => format!(
                "{} holds the scrape configuration: load it into your Prometheus by scrape_config_files{LABEL_NOTE}; {why}",
                declared[0]
            ),
            Delivery::Operator | Delivery::Managed => format!(
                "{} are written, and whether their targets are up is not known: {why}{LABEL_NOTE}",
                declared.join(" and ")
            ),
        };
        Finding::unknown(ConditionType::ScrapeTargetsUp, Reason::NotVerified, message)
    }

    fn provisioned(&self, metrics: &Metrics, why: &str) -> Finding {
        let declared = self.declared(metrics.rules_by, Rule);
        let message = match metrics.rules_by {
            Delivery::ConfigMap => {
                format!("{declared} holds the rules: load it into your Prometheus by rule_files; {why}")
            }
            Delivery::Operator | Delivery::Managed => {
                format!("{declared} is written, and whether it is loaded is not known: {why}")
            }
        };
        Finding::yes(ConditionType::RulesProvisioned, Reason::Provisioned, message)
    }

    /// The object that tells Prometheus.
    fn declared(&self, by: Delivery, what: What) -> String {
        let (kind, component) = match (by, what) {
            (Delivery::Managed, _) => ("Deployment", Component::Prometheus),
            (Delivery::Operator, Application) => ("PodMonitor", Component::Metrics),
            (Delivery::Operator, Collector) => ("ServiceMonitor", Component::Collector),
            (Delivery::Operator, Rule) => ("PrometheusRule", Component::Slo),
            (Delivery::ConfigMap, Application | Collector) => ("ConfigMap", Component::Metrics),
            (Delivery::ConfigMap, Rule) => ("ConfigMap", Component::Slo),
        };
        format!("{kind}/{}", child_name(self.profile, component))
    }

    fn pods_of(&self, what: What) -> String {
        match what {
            Collector => format!("of Deployment/{}", child_name(self.profile, Component::Collector)),
            Application | Rule => "that spec.selector selects".to_owned(),
        }
    }
}

/// What an object tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Application,
    Collector,
    Rule,
}
use What::{Application, Collector, Rule};

impl Reason {
    /// True for what only Prometheus can have said.
    fn is_of_prometheus(self) -> bool {
        [
            Self::NotVerified,
            Self::NotSelected,
            Self::PrometheusUnreachable,
            Self::TargetsNotLoaded,
            Self::NoPods,
            Self::NoTargets,
            Self::TargetsDown,
            Self::TargetsUp,
            Self::Provisioned,
            Self::RulesNotLoaded,
            Self::RulesFailing,
            Self::RulesLoaded,
            Self::MetricsFound,
            Self::MetricsMissing,
            Self::ThresholdNotABound,
        ]
        .contains(&self)
    }
}

fn not_selected(kind: ConditionType, declared: &str, misses: &[String]) -> Finding {
    let message = format!("no Prometheus selects {declared}: {}", named(misses, Clone::clone));
    Finding::no(kind, Reason::NotSelected, message)
}

/// The profile's own Prometheus must answer; what is wrong with another one is not for the profile to repair.
fn unreachable(kind: ConditionType, prometheus: &Prometheus, error: &str) -> Finding {
    let Prometheus { name, url, managed } = prometheus;
    let what = format!("{name} does not answer the operator at {url}: {error}");
    if *managed {
        let message = format!(
            "{what}; its pod is ready, so look for a NetworkPolicy or a service mesh in between, and at the cluster's DNS"
        );
        return Finding::no(kind, Reason::PrometheusUnreachable, message);
    }
    let message = format!("{what}; let the operator reach it, or give the operator another --prometheus-url");
    Finding::unknown(kind, Reason::PrometheusUnreachable, message)
}

fn refusal() -> String {
    "it refused its last configuration, and its log says why".to_owned()
}

fn loading(by: Delivery, declared: &str) -> String {
    match by {
        Delivery::Managed => "it reads changed files within two minutes".to_owned(),
        Delivery::ConfigMap => format!("load {declared} into it"),
        Delivery::Operator => format!(
            "the Prometheus Operator takes some minutes at most; after that, look at its log and the events of {declared}"
        ),
    }
}

/// What helps against the first target's error.
fn remedy(down: &[Target], what: What, prometheus: &Prometheus) -> String {
    let silent = down.first().is_some_and(|target| target.error == "no answer in time");
    match what {
        Collector if silent && !prometheus.managed => {
            format!("look for a NetworkPolicy in between{LABEL_NOTE}")
        }
        Collector => "look at the collector's log".to_owned(),
        Application | Rule if silent => {
            "look for a NetworkPolicy in between, or let the application answer faster".to_owned()
        }
        Application | Rule => {
            "set spec.metrics.port and spec.metrics.path to where the application serves its metrics"
                .to_owned()
        }
    }
}

/// The first few of a list, as one text.
fn named<T>(list: &[T], text: impl Fn(&T) -> String) -> String {
    let more = if list.len() > NAMED { " and others" } else { "" };
    list.iter().take(NAMED).map(text).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
        + more
}

#[cfg(test)]
mod tests;

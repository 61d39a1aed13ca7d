//! The fixed vocabulary of conditions: types, reasons, and how a list of conditions follows the one before. Pure.

use crate::profile::{Condition, ConditionStatus};

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The summary.
    Ready,
    /// The collector's pods.
    CollectorReady,
    /// Where traces go.
    TraceBackendReady,
    /// What Prometheus is to scrape.
    ScrapeTargetsUp,
    /// The series that SLOs and instruments need. Not a part of `Ready`.
    MetricsPresent,
    /// SLO rules.
    RulesProvisioned,
    /// Dashboards.
    DashboardsProvisioned,
    /// The sidecar in the application's pods.
    SidecarInjected,
    /// Somebody else's object stands under a name that is needed, or another profile selects the same pods. True is bad.
    Conflicted,
    /// The profile is paused.
    Paused,
}

impl ConditionType {
    /// Every type, in the order of status.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::CollectorReady,
        Self::TraceBackendReady,
        Self::ScrapeTargetsUp,
        Self::MetricsPresent,
        Self::RulesProvisioned,
        Self::DashboardsProvisioned,
        Self::SidecarInjected,
        Self::Conflicted,
        Self::Paused,
    ];

    /// The type as status writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::CollectorReady => "CollectorReady",
            Self::TraceBackendReady => "TraceBackendReady",
            Self::ScrapeTargetsUp => "ScrapeTargetsUp",
            Self::MetricsPresent => "MetricsPresent",
            Self::RulesProvisioned => "RulesProvisioned",
            Self::DashboardsProvisioned => "DashboardsProvisioned",
            Self::SidecarInjected => "SidecarInjected",
            Self::Conflicted => "Conflicted",
            Self::Paused => "Paused",
        }
    }
}

/// Reasons. Each has a line in docs/conditions.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything that the profile asks for is there and, where it can be seen, works.
    AllReady,
    /// The operator has seen the profile and has not finished its first pass.
    Progressing,
    /// The profile is paused.
    PausedByProfile,
    /// The profile is not paused.
    NotPaused,
    /// The profile is wrong in a way that the schema cannot tell.
    InvalidProfile,
    /// The stored object does not fit the operator's type.
    Undecodable,
    /// The collector image lacks a component.
    ComponentMissing,
    /// A generated file does not fit into a ConfigMap.
    ChildTooLarge,
    /// A bug of the operator.
    PlanFailed,
    /// The API server refused an object.
    ApplyFailed,
    /// Somebody else's object stands under a name that is needed.
    ForeignObject,
    /// No foreign object is in the way.
    NoConflict,
    /// Pods are not ready yet.
    PodsStarting,
    /// A pod has no place on any node.
    PodsUnschedulable,
    /// A pod cannot have its image.
    ImagePullFailed,
    /// A container cannot be made of its image.
    ContainerNotStarted,
    /// A container was ended for want of memory.
    OutOfMemory,
    /// A container ends again and again.
    PodsCrashing,
    /// A pod runs, and its readiness probe does not succeed.
    PodsNotReady,
    /// Pods cannot be made, or do not become ready in time.
    PodsFailing,
    /// Pods are ready.
    PodsReady,
    /// The profile does not ask for it.
    NotRequested,
    /// It is somebody else's, and the operator does not look into it.
    External,
    /// Objects are written, and nobody can say whether they take effect.
    NotVerified,
    /// No Prometheus object selects what declares the targets or the rules.
    NotSelected,
    /// A Prometheus that should be asked does not answer.
    PrometheusUnreachable,
    /// Prometheus has no such scrape job.
    TargetsNotLoaded,
    /// No pod of the application runs.
    NoPods,
    /// Prometheus finds no target, although pods run.
    NoTargets,
    /// Targets have not been scraped yet, or Prometheus has not been asked yet.
    TargetsPending,
    /// Prometheus cannot scrape a target.
    TargetsDown,
    /// Prometheus scrapes every target.
    TargetsUp,
    /// Prometheus has not been asked for the series yet.
    MetricsPending,
    /// A series that an SLO or an instrument needs is absent.
    MetricsMissing,
    /// The threshold of a latency SLO is no bound of the histogram's buckets.
    ThresholdNotABound,
    /// Every series that is needed is there.
    MetricsFound,
    /// Prometheus has not been asked for the rules yet.
    RulesPending,
    /// Prometheus has not loaded the rules, or refused its configuration.
    RulesNotLoaded,
    /// Prometheus cannot evaluate a rule.
    RulesFailing,
    /// Prometheus evaluates the rules.
    RulesLoaded,
    /// Objects are written.
    Provisioned,
    /// The profile asks for objects of a kind that the API server does not serve.
    KindNotServed,
    /// The application's pods have not been looked at yet.
    NotLookedYet,
    /// Every pod has the present sidecar.
    AllInjected,
    /// A pod was made without its sidecar.
    PodsMissing,
    /// A pod has an older sidecar.
    PodsOutdated,
    /// A pod cannot have a sidecar.
    PodsRefused,
    /// The operator restarts workloads whose pods lack the present sidecar.
    RolloutInProgress,
    /// A workload whose pods lack the present sidecar may not be restarted now.
    RolloutBlocked,
    /// A workload was restarted, and a new pod of it lacks the present sidecar all the same.
    RestartDidNotHelp,
    /// The admission policy that injects is not there.
    PolicyMissing,
    /// The admission policy that injects is not the one of this version.
    PolicyDiffers,
    /// The API server does not call the webhook that injects.
    WebhookFailed,
    /// The administrator wants no injection.
    InjectionOff,
    /// Another profile selects one of the pods, too.
    SelectorOverlap,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 55] = [
        Self::AllReady,
        Self::Progressing,
        Self::PausedByProfile,
        Self::NotPaused,
        Self::InvalidProfile,
        Self::Undecodable,
        Self::ComponentMissing,
        Self::ChildTooLarge,
        Self::PlanFailed,
        Self::ApplyFailed,
        Self::ForeignObject,
        Self::NoConflict,
        Self::PodsStarting,
        Self::PodsUnschedulable,
        Self::ImagePullFailed,
        Self::ContainerNotStarted,
        Self::OutOfMemory,
        Self::PodsCrashing,
        Self::PodsNotReady,
        Self::PodsFailing,
        Self::PodsReady,
        Self::NotRequested,
        Self::External,
        Self::NotVerified,
        Self::NotSelected,
        Self::PrometheusUnreachable,
        Self::TargetsNotLoaded,
        Self::NoPods,
        Self::NoTargets,
        Self::TargetsPending,
        Self::TargetsDown,
        Self::TargetsUp,
        Self::MetricsPending,
        Self::MetricsMissing,
        Self::ThresholdNotABound,
        Self::MetricsFound,
        Self::RulesPending,
        Self::RulesNotLoaded,
        Self::RulesFailing,
        Self::RulesLoaded,
        Self::Provisioned,
        Self::KindNotServed,
        Self::NotLookedYet,
        Self::AllInjected,
        Self::PodsMissing,
        Self::PodsOutdated,
        Self::PodsRefused,
        Self::RolloutInProgress,
        Self::RolloutBlocked,
        Self::RestartDidNotHelp,
        Self::PolicyMissing,
        Self::PolicyDiffers,
        Self::WebhookFailed,
        Self::InjectionOff,
        Self::SelectorOverlap,
    ];

    /// The reason that is written so, if it is one of ours.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The reason as status writes it: its own name.
    #[must_use]
    pub fn as_str(self) -> String {
        format!("{self:?}")
    }
}

/// A condition before it is dated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// What is so, and what to do. No time and no counter: it would change at every look.
    pub message: String,
}

impl Finding {
    /// A finding that holds.
    pub fn yes(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::True, reason, message: message.into() }
    }

    /// A finding that does not hold.
    pub fn no(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::False, reason, message: message.into() }
    }

    /// A finding that nobody can tell.
    pub fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::Unknown, reason, message: message.into() }
    }
}

/// Largest message that Kubernetes' own conditions allow, in bytes.
const MESSAGE_BYTES: usize = 32_768;

/// Dates findings: the time moves only when the status flips.
#[must_use]
pub fn date(findings: Vec<Finding>, before: &[Condition], generation: i64, now: &str) -> Vec<Condition> {
    let mut findings = findings;
    findings.sort_by_key(|finding| finding.kind);
    findings
        .into_iter()
        .map(|finding| {
            let kept = before
                .iter()
                .find(|old| old.kind == finding.kind.as_str() && old.status == finding.status)
                .map(|old| old.last_transition_time.clone());
            Condition {
                kind: finding.kind.as_str().to_owned(),
                status: finding.status,
                reason: finding.reason.as_str(),
                message: bounded(finding.message),
                observed_generation: generation,
                last_transition_time: kept.unwrap_or_else(|| now.to_owned()),
            }
        })
        .collect()
}

fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES - 4).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push_str(" ...");
    }
    message
}

//! A validated profile → what is to be asked about it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::needs::{Need, needs};
use crate::kinds::ChildKind;
use crate::plan::meta::{self, Component};
use crate::plan::{scrape, slo};
use crate::validate::{Delivery, ValidatedProfile};

/// What is to be asked about one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Namespace of the profile.
    pub namespace: String,
    /// Name of the profile.
    pub name: String,
    /// How Prometheus is told of targets.
    pub scrape_by: Delivery,
    /// How Prometheus is told of rules.
    pub rules_by: Delivery,
    /// The application's scrape job.
    pub application: Job,
    /// The collector's scrape job.
    pub collector: Job,
    /// The SLO rules, where the profile has any.
    pub rules: Option<Groups>,
    /// The series that SLOs and instruments need.
    pub needs: Vec<Need>,
    /// The label `job` of the application's and the collector's series.
    pub jobs: [String; 2],
    /// The administrator's `--prometheus-url`.
    pub admin_url: Option<String>,
}

/// A scrape job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The object that declares it to the Prometheus Operator.
    pub object: Monitor,
    /// Its name in Prometheus.
    pub pool: String,
    /// Its pods, as the API server's `labelSelector` parameter.
    pub pods: String,
}

/// Rule groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The object that declares them to the Prometheus Operator.
    pub object: Monitor,
    /// Their names.
    pub names: BTreeSet<String>,
}

/// An object that a Prometheus object selects, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// PodMonitor, ServiceMonitor or PrometheusRule.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Monitor {
    fn new(kind: ChildKind, metadata: ObjectMeta) -> Self {
        let ObjectMeta { name, labels, .. } = metadata;
        Self { kind, name: name.unwrap_or_default(), labels: labels.unwrap_or_default() }
    }

    /// `Kind/name`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind.name(), self.name)
    }
}

impl Subject {
    /// What is to be asked about the profile; none when it has no metrics, or when nobody can know of it.
    #[must_use]
    pub fn of(profile: &ValidatedProfile) -> Option<Self> {
        let metrics = profile.metrics.as_ref()?;
        let by_files = |by| by == Delivery::ConfigMap;
        let admin_url = profile.prometheus_url.clone().filter(|_| metrics.scrape_by != Delivery::Managed);
        if by_files(metrics.scrape_by) && by_files(metrics.rules_by) && admin_url.is_none() {
            return None;
        }
        let job = |kind, component, pods, file_job: String| {
            let object = Monitor::new(kind, meta::monitor_meta(profile, component));
            let pool = match metrics.scrape_by {
                // The Prometheus Operator names jobs after the monitor and the index of the endpoint.
                Delivery::Operator => {
                    let word = if kind == ChildKind::PodMonitor { "podMonitor" } else { "serviceMonitor" };
                    format!("{word}/{}/{}/0", profile.namespace, object.name)
                }
                Delivery::ConfigMap | Delivery::Managed => file_job,
            };
            Job { object, pool, pods: scrape::selector_text(pods) }
        };
        let collector = meta::pod_selector(profile, Component::Collector);
        Some(Self {
            namespace: profile.namespace.clone(),
            name: profile.name.clone(),
            scrape_by: metrics.scrape_by,
            rules_by: metrics.rules_by,
            application: job(
                ChildKind::PodMonitor,
                Component::Metrics,
                &profile.selector,
                scrape::application_job(profile),
            ),
            collector: job(
                ChildKind::ServiceMonitor,
                Component::Collector,
                &collector,
                scrape::collector_job(profile),
            ),
            rules: (!profile.slos.is_empty()).then(|| Groups {
                object: Monitor::new(ChildKind::PrometheusRule, meta::monitor_meta(profile, Component::Slo)),
                names: slo::group_names(profile),
            }),
            needs: needs(profile),
            jobs: [scrape::application_job(profile), scrape::collector_job(profile)],
            admin_url,
        })
    }

    /// True when an answer about `other` is one about this, too: the same is told in the same way.
    #[must_use]
    pub fn is_told_as(&self, other: &Self) -> bool {
        self.scrape_by == other.scrape_by
            && self.rules_by == other.rules_by
            && self.rules.is_some() == other.rules.is_some()
            && self.admin_url == other.admin_url
    }
}

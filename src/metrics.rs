//! What the operator counts of itself. In: what reconciles come to. Out: series in a Prometheus registry. No cluster.
//!
//! Labels are bounded: results, reasons, kinds, conditions, and for what each profile says its name: there are as many as profiles.
//! docs/operator-telemetry.md lists the series.

mod requests;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use requests::{CountLayer, Counted};

use crate::apply::{Applied, Verb};
use crate::rollout::Tried;

/// The operator's instruments.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    errors: IntCounterVec,
    objects: IntCounterVec,
    repairs: IntCounterVec,
    watch_errors: IntCounterVec,
    prometheus_queries: IntCounterVec,
    restarts: IntCounterVec,
    profiles: IntGaugeVec,
    profile_conditions: IntGaugeVec,
    api_requests: IntCounterVec,
    api_duration: HistogramVec,
    sidecar_pods: IntGaugeVec,
    profiles_served: IntGauge,
    webhook_requests: IntCounterVec,
    webhook_duration: Histogram,
    certificate_expiry: IntGauge,
    leader: IntGauge,
    rendering: Arc<Mutex<()>>,
}

/// Results of a reconcile, as the label of `telemetry_operator_reconciles_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Everything was applied.
    Ok,
    /// The profile is paused.
    Paused,
    /// The profile is wrong and waits for a change.
    Invalid,
    /// Something failed and is tried again.
    Error,
}

impl ReconcileResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Paused => "paused",
            Self::Invalid => "invalid",
            Self::Error => "error",
        }
    }
}

/// The value of one condition of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileCondition {
    /// The profile's namespace.
    pub namespace: String,
    /// Its name.
    pub profile: String,
    /// The condition's type.
    pub condition: String,
    /// `true`, `false` or `unknown`.
    pub status: &'static str,
    /// One of a fixed list.
    pub reason: String,
}

impl Metrics {
    /// Makes the instruments in `registry`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "telemetry_operator_reconcile_duration_seconds",
                "Duration of a reconcile in seconds.",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        )?;
        registry.register(Box::new(duration.clone()))?;
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let profiles_served = IntGauge::new(
            "telemetry_operator_crd_served",
            "1 while the API server serves the TelemetryProfile kind.",
        )?;
        registry.register(Box::new(profiles_served.clone()))?;
        let webhook_duration = Histogram::with_opts(
            HistogramOpts::new(
                "telemetry_operator_webhook_request_duration_seconds",
                "Duration of a request to the webhook in seconds.",
            )
            .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0]),
        )?;
        registry.register(Box::new(webhook_duration.clone()))?;
        let certificate_expiry = IntGauge::new(
            "telemetry_operator_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that the webhook shows ends, in Unix seconds; 0 without one.",
        )?;
        registry.register(Box::new(certificate_expiry.clone()))?;
        let api_duration = HistogramVec::new(
            HistogramOpts::new(
                "telemetry_operator_api_request_duration_seconds",
                "Time until the API server answered a request in seconds; a watch answers when it begins.",
            )
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            &["method"],
        )?;
        registry.register(Box::new(api_duration.clone()))?;
        let leader = IntGauge::new(
            "telemetry_operator_leader",
            "1 while this process reconciles, 0 while it stands by.",
        )?;
        registry.register(Box::new(leader.clone()))?;
        Ok(Self {
            leader,
            rendering: Arc::default(),
            api_duration,
            api_requests: counter(
                "telemetry_operator_api_requests_total",
                "Requests to the API server by HTTP method and status code.",
                &["method", "code"],
            )?,
            profile_conditions: gauge(
                "telemetry_operator_profile_condition",
                "1 for the present status and reason of each condition of each profile.",
                &["profile_namespace", "profile", "condition", "status", "reason"],
            )?,
            registry: registry.clone(),
            reconciles: counter("telemetry_operator_reconciles_total", "Reconciles by result.", &["result"])?,
            duration,
            errors: counter(
                "telemetry_operator_reconcile_errors_total",
                "Failed reconciles by reason.",
                &["reason"],
            )?,
            objects: counter(
                "telemetry_operator_applied_objects_total",
                "Objects that were created, updated, repaired or deleted, by kind and verb.",
                &["kind", "verb"],
            )?,
            repairs: counter(
                "telemetry_operator_repaired_objects_total",
                "Objects that somebody had changed or deleted and that were put right, by kind.",
                &["kind"],
            )?,
            watch_errors: counter(
                "telemetry_operator_watch_errors_total",
                "Errors of watches by kind; each is tried again.",
                &["kind"],
            )?,
            prometheus_queries: counter(
                "telemetry_operator_prometheus_queries_total",
                "Questions to Prometheus about targets and rules, by result.",
                &["result"],
            )?,
            restarts: counter(
                "telemetry_operator_workload_restarts_total",
                "Restarts of workloads whose pods lacked the present sidecar, by result.",
                &["result"],
            )?,
            profiles: gauge(
                "telemetry_operator_profiles",
                "Profiles by the value of each condition.",
                &["condition", "status"],
            )?,
            sidecar_pods: gauge(
                "telemetry_operator_sidecar_pods",
                "Pods that profiles select, by what is so with their sidecar.",
                &["state"],
            )?,
            profiles_served,
            webhook_requests: counter(
                "telemetry_operator_webhook_requests_total",
                "Requests to the webhook by result.",
                &["result"],
            )?,
            webhook_duration,
            certificate_expiry,
        })
    }

    /// One reconcile is over.
    pub fn reconciled(&self, result: ReconcileResult, seconds: f64) {
        self.reconciles.with_label_values(&[result.as_str()]).inc();
        self.duration.observe(seconds);
    }

    /// One reconcile failed or found a wrong profile. `reason` is one of a fixed list.
    pub fn failed(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// Counts what was written.
    pub fn applied(&self, applied: &Applied) {
        for child in applied.children.iter().filter(|child| child.verb != Verb::Unchanged) {
            self.objects.with_label_values(&[child.kind.name(), child.verb.as_str()]).inc();
            if child.verb == Verb::Repaired {
                self.repairs.with_label_values(&[child.kind.name()]).inc();
            }
        }
        for (kind, _) in &applied.pruned {
            self.objects.with_label_values(&[kind.name(), "deleted"]).inc();
        }
    }

    /// A watch of this kind failed.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    /// The API server answered with this code, or none came (`error`).
    pub fn asked_api(&self, method: &str, code: &str, seconds: f64) {
        self.api_requests.with_label_values(&[method, code]).inc();
        self.api_duration.with_label_values(&[method]).observe(seconds);
    }

    /// A Prometheus was asked.
    pub fn asked_prometheus(&self, answered: bool) {
        self.prometheus_queries.with_label_values(&[if answered { "ok" } else { "failed" }]).inc();
    }

    /// A request to the webhook came to this, which is one of a fixed list.
    pub fn webhook_request(&self, result: &str) {
        self.webhook_requests.with_label_values(&[result]).inc();
    }

    /// A request to the webhook took so long.
    pub fn webhook_took(&self, seconds: f64) {
        self.webhook_duration.observe(seconds);
    }

    /// Notes whether this process reconciles.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// When the certificate that the webhook shows ends, in Unix seconds.
    pub fn set_certificate_expiry(&self, unix_seconds: i64) {
        self.certificate_expiry.set(unix_seconds);
    }

    /// A restart of a workload was tried.
    pub fn restarted(&self, result: Tried) {
        self.restarts.with_label_values(&[result.as_str()]).inc();
    }

    /// Whether the TelemetryProfile kind is served.
    pub fn set_profiles_served(&self, served: bool) {
        self.profiles_served.set(i64::from(served));
    }

    /// Every series as text, with the profiles' conditions as given, and the pods by the numbers given, (state, number). Only the
    /// leader tells of each profile: two pods that did would make every profile two.
    ///
    /// # Errors
    /// When a series cannot be written, which a test rules out.
    pub fn render(
        &self,
        conditions: &[ProfileCondition],
        pods: &[(&'static str, i64)],
    ) -> Result<String, prometheus::Error> {
        // Two Prometheuses may scrape at the same time, and one must not see what the other has just emptied.
        let _alone = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.profiles.reset();
        self.profile_conditions.reset();
        let leads = self.leader.get() == 1;
        for ProfileCondition { namespace, profile, condition, status, reason } in conditions {
            self.profiles.with_label_values(&[condition.as_str(), status]).inc();
            if leads {
                let labels = [namespace.as_str(), profile, condition, status, reason];
                self.profile_conditions.with_label_values(&labels).set(1);
            }
        }
        for (state, number) in pods {
            self.sidecar_pods.with_label_values(&[state]).set(*number);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two replicas that told of each profile would make every profile two.
    #[test]
    fn only_the_leader_tells_of_each_profile_and_forgets_what_is_gone() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let ready = ProfileCondition {
            namespace: "media".to_owned(),
            profile: "trakt".to_owned(),
            condition: "Ready".to_owned(),
            status: "true",
            reason: "AllReady".to_owned(),
        };
        let tells = |conditions: &[ProfileCondition]| {
            let text = metrics.render(conditions, &[]).unwrap();
            assert_eq!(text.contains("telemetry_operator_profiles{"), !conditions.is_empty());
            text.matches("telemetry_operator_profile_condition{").count()
        };
        let ready = [ready];
        assert_eq!(tells(&ready), 0);
        metrics.set_leader(true);
        assert_eq!(tells(&ready), 1);
        let other = ProfileCondition { status: "false", reason: "Conflict".to_owned(), ..ready[0].clone() };
        assert_eq!(tells(&[other]), 1, "the value before is gone");
        assert_eq!(tells(&[]), 0);
        metrics.set_leader(false);
        assert_eq!(tells(&ready), 0);
    }
}

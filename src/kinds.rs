//! The one table of kinds that the operator keeps for a profile, in the order in which they are applied, and the label that
//! marks them.
//!
//! In: nothing. Out: [`ChildKind`], from which the watches, the pruning, the apply order and the operator's RBAC follow.
//! No cluster.

use kube::core::{ApiResource, GroupVersionKind};

/// Value of `app.kubernetes.io/managed-by` on every child.
pub const MANAGED_BY: &str = "telemetry-operator";
/// Label with the manager's name.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// A kind of child. The order of the variants is the order of applying: what others need comes first, workloads last,
/// so that a pod never starts before its account, configuration and network policy are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// Accounts of the workloads.
    ServiceAccount,
    /// The managed Prometheus' right to find pods.
    RoleBinding,
    /// Who may talk to whom.
    NetworkPolicy,
    /// Configurations, rule files, dashboards.
    ConfigMap,
    /// Jaeger's volume.
    PersistentVolumeClaim,
    /// Addresses.
    Service,
    /// The workloads.
    Deployment,
    /// The collector's autoscaler.
    HorizontalPodAutoscaler,
    /// How many collectors may be away at once.
    PodDisruptionBudget,
    /// Prometheus Operator: scrape the collector.
    ServiceMonitor,
    /// Prometheus Operator: scrape the application.
    PodMonitor,
    /// Prometheus Operator: SLO rules.
    PrometheusRule,
    /// Grafana Operator: dashboards.
    GrafanaDashboard,
    /// Grafana Operator: data sources.
    GrafanaDatasource,
}

impl ChildKind {
    /// Every kind, in the order of applying.
    pub const ALL: [Self; 14] = [
        Self::ServiceAccount,
        Self::RoleBinding,
        Self::NetworkPolicy,
        Self::ConfigMap,
        Self::PersistentVolumeClaim,
        Self::Service,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::ServiceMonitor,
        Self::PodMonitor,
        Self::PrometheusRule,
        Self::GrafanaDashboard,
        Self::GrafanaDatasource,
    ];

    /// Group, version, kind and plural.
    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::PersistentVolumeClaim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::ServiceMonitor => ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
            Self::PrometheusRule => ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
            Self::GrafanaDashboard => {
                ("grafana.integreatly.org", "v1beta1", "GrafanaDashboard", "grafanadashboards")
            }
            Self::GrafanaDatasource => {
                ("grafana.integreatly.org", "v1beta1", "GrafanaDatasource", "grafanadatasources")
            }
        }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        self.parts().0
    }

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.parts().2
    }

    /// The resource's name in URLs and RBAC rules.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.parts().3
    }

    /// `apiVersion` of objects of this kind.
    #[must_use]
    pub fn api_version(self) -> String {
        self.api_resource().api_version
    }

    /// True where the kind comes from a CRD of another project, which a cluster may or may not have.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(
            self,
            Self::ServiceMonitor
                | Self::PodMonitor
                | Self::PrometheusRule
                | Self::GrafanaDashboard
                | Self::GrafanaDatasource
        )
    }

    /// The resource as the client addresses it.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

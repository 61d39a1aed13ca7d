//! What the administrator sets for the whole operator: its name, where it works, default images and the Prometheus to ask.
//! In: command line. Out: [`Settings`]. No cluster.

use crate::installation::{self, Installation};

/// Default collector image: the public contrib distribution.
pub const COLLECTOR_IMAGE: &str = "otel/opentelemetry-collector-contrib:0.155.0";
/// Default Jaeger image.
pub const JAEGER_IMAGE: &str = "jaegertracing/jaeger:2.13.0";
/// Default image of the managed Prometheus.
pub const PROMETHEUS_IMAGE: &str = "quay.io/prometheus/prometheus:v3.5.0";

/// Settings of the operator, the same for every profile.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Settings {
    /// Name of this installation. Its Lease, and, each with an ending of its own, its admission policy, its webhook's Service,
    /// Secret and configuration and the role for managed Prometheuses are called after it.
    #[arg(long, env = "INSTALLATION", value_name = "NAME", default_value = installation::DEFAULT)]
    pub installation: Installation,
    /// Namespace to work in; may be repeated. Left out: all. With it the operator needs rights in these namespaces only, and
    /// managed Prometheuses are bound to a Role there instead of a ClusterRole.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub watch_namespace: Vec<String>,
    /// Image of collectors whose profile names none.
    #[arg(long, env = "COLLECTOR_IMAGE", default_value = COLLECTOR_IMAGE)]
    pub collector_image: String,
    /// Image of Jaegers whose profile names none.
    #[arg(long, env = "JAEGER_IMAGE", default_value = JAEGER_IMAGE)]
    pub jaeger_image: String,
    /// Image of managed Prometheuses.
    #[arg(long, env = "PROMETHEUS_IMAGE", default_value = PROMETHEUS_IMAGE)]
    pub prometheus_image: String,
    /// URL of the Prometheus that scrapes the profiles' targets. The operator asks it whether targets are up and rules are
    /// loaded, and Jaeger's Monitor tab reads it. A managed one comes first, and for targets and rules one of the Prometheus
    /// Operator that selects them.
    #[arg(long, env = "PROMETHEUS_URL", value_parser = http_url)]
    pub prometheus_url: Option<String>,
    /// URL of an Alertmanager that managed Prometheuses send their alerts to; may be repeated: each alert goes to all of
    /// them. Left out: nobody is told of an alert. Another Prometheus has its own setting.
    #[arg(long, env = "ALERTMANAGER_URL", value_parser = http_url, value_delimiter = ',', value_name = "URL")]
    pub alertmanager_url: Vec<String>,
    /// URL under which people reach Grafana: alerts link to their dashboard there. Left out: they have no such link.
    #[arg(long, env = "GRAFANA_URL", value_parser = http_url)]
    pub grafana_url: Option<String>,
    /// How pods get their sidecar: by the admission policy where the API server has that kind, else by the operator's
    /// webhook (auto), by one of the two, or not at all.
    #[arg(long, env = "INJECTION", value_enum, default_value = "auto")]
    pub injection: InjectionMode,
}

/// How the administrator wants pods to get their sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum InjectionMode {
    /// By the policy where the API server serves that kind, else by the webhook.
    #[default]
    Auto,
    /// By the MutatingAdmissionPolicy.
    Policy,
    /// By the operator's webhook.
    Webhook,
    /// Not at all.
    None,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            installation: Installation::default(),
            watch_namespace: Vec::new(),
            collector_image: COLLECTOR_IMAGE.to_owned(),
            jaeger_image: JAEGER_IMAGE.to_owned(),
            prometheus_image: PROMETHEUS_IMAGE.to_owned(),
            prometheus_url: None,
            alertmanager_url: Vec::new(),
            grafana_url: None,
            injection: InjectionMode::Auto,
        }
    }
}

/// Accepts `http://host[:port][/path]` and the same with https, without the last slash.
fn http_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .ok_or_else(|| "give a URL that starts with http:// or https://".to_owned())?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:/~[]".contains(c);
    if rest.is_empty() || rest.starts_with('/') || !rest.chars().all(allowed) {
        return Err(
            "give a URL like http://prometheus.monitoring:9090, without user, query or blanks".to_owned()
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

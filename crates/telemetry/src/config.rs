//! In: what a process knows about itself, from code, from TOML, from `OTEL_*` variables. Out: the values that every other
//! module reads. No network.

mod endpoints;
mod environment;
mod file;
mod problem;
mod resource;
mod variables;

use crate::endpoint::{Address, OtlpEndpoint, masked};

pub use file::ConfigFile;
pub use problem::{ConfigError, Problem};

/// Everything that [`TelemetryManager::new`](crate::TelemetryManager::new) needs to know. The fields are those of the TOML
/// file, which [`from_toml`](Self::from_toml) reads; a program without a file fills them in itself and takes the rest from
/// `Default`.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// `[telemetry] enabled`: false turns everything off but plain log lines: no spans, no metrics, no port, no connection.
    pub enabled: bool,
    /// `[telemetry] service_name`: `service.name` of everything that is sent. Must not be empty.
    pub service_name: String,
    /// `[telemetry] service_version`: `service.version`. May be empty.
    pub service_version: String,
    /// `[telemetry] environment`: `deployment.environment.name`, as in `production`. May be empty.
    pub environment: String,
    /// `[telemetry] sample_rate`: the share of traces that are kept, 0 to 1. A trace that came from elsewhere keeps the
    /// decision that was made there.
    pub sample_rate: f64,
    /// `[telemetry.tracing] enabled`: whether spans are sent.
    pub tracing_enabled: bool,
    /// `[telemetry.tracing] jaeger_endpoint`: where spans and log records go: OTLP, as in `http://127.0.0.1:4317` (gRPC) or
    /// `http://127.0.0.1:4318` (HTTP). Jaeger's old `http://HOST:14268/api/traces` means OTLP on the same host. Without it
    /// nothing is sent; spans have ids all the same, so that log lines of one operation can be told from those of another.
    pub jaeger_endpoint: Option<String>,
    /// `[telemetry.metrics] prometheus_enabled`: whether `/metrics` and health are served.
    pub prometheus_enabled: bool,
    /// `[telemetry.metrics] prometheus_port`: the port of `/metrics` and health. 0, in code only: any free port.
    pub prometheus_port: u16,
    /// `[telemetry.metrics] custom_metrics`: whether instruments of the application itself count.
    pub custom_metrics: bool,
    /// `[telemetry.logging] correlation_enabled`: whether log lines carry `trace_id`, `span_id` and `correlation_id`.
    pub correlation_enabled: bool,
    /// `[telemetry.logging] structured_format`: log lines are JSON objects, for machines; otherwise text, for people.
    pub structured_format: bool,
    /// Which `tracing` events are logged, in the syntax of `RUST_LOG`, as in `info,billing=debug`. The crates that carry
    /// telemetry away (h2, hyper, tonic, …) log warnings only, unless they are named here. Empty: errors only. Not in TOML.
    pub log_filter: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            service_name: String::new(),
            service_version: String::new(),
            environment: String::new(),
            sample_rate: 1.0,
            tracing_enabled: true,
            jaeger_endpoint: None,
            prometheus_enabled: true,
            prometheus_port: 8081,
            custom_metrics: true,
            correlation_enabled: true,
            structured_format: true,
            log_filter: "info".to_owned(),
        }
    }
}

/// What is left of a configuration once `OTEL_*` has had its say.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The configuration, with what the variables changed in it.
    pub(crate) config: TelemetryConfig,
    /// Resource attributes that the variables name besides service and environment.
    pub(crate) attributes: Vec<(String, String)>,
    /// Where spans go.
    pub(crate) spans: Option<OtlpEndpoint>,
    /// Where log records go.
    pub(crate) logs: Option<OtlpEndpoint>,
    /// Which traces are kept.
    pub(crate) sampler: opentelemetry_sdk::trace::Sampler,
    /// The address of `/metrics`, when the variables name one; otherwise all addresses.
    pub(crate) metrics_host: Option<std::net::IpAddr>,
    /// What the user should know: each is logged once, as a warning.
    pub(crate) notices: Vec<String>,
}

impl TelemetryConfig {
    /// Checks the values and applies the variables, which `lookup` reads. Variables go before the configuration: what
    /// surrounds a program knows better where it runs. A variable that cannot be used is left out, with a notice.
    pub(crate) fn resolve(self, lookup: impl Fn(&str) -> Option<String>) -> Result<Resolved, ConfigError> {
        let problem = |(key, reason): (&str, String)| Problem { place: None, key: key.to_owned(), reason };
        let problems: Vec<_> = self.faults().into_iter().map(problem).collect();
        if problems.is_empty() { Ok(environment::apply(self, lookup)) } else { Err(ConfigError { problems }) }
    }

    /// What is wrong with the values, wherever they come from: key and reason.
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut check = |key, fault: Option<String>| faults.extend(fault.map(|reason| (key, reason)));
        check(
            "telemetry.service_name",
            if self.service_name.trim().is_empty() {
                Some("must not be empty: write the name of the application".to_owned())
            } else {
                control_character(&self.service_name)
            },
        );
        check("telemetry.service_version", control_character(&self.service_version));
        check("telemetry.environment", control_character(&self.environment));
        check("telemetry.sample_rate", not_a_share(self.sample_rate));
        let endpoint = self.jaeger_endpoint.as_deref();
        check(
            "telemetry.tracing.jaeger_endpoint",
            endpoint.and_then(|url| Address::parse(url).err().map(|reason| named(url, &reason))),
        );
        faults
    }
}

/// The reason with the URL that it is about, unless it names it itself.
fn named(url: &str, reason: &str) -> String {
    let shown = masked(url);
    if reason.contains(&shown) { reason.to_owned() } else { format!("`{shown}`: {reason}") }
}

fn control_character(text: &str) -> Option<String> {
    let found = text.chars().find(|c| c.is_control())?;
    Some(format!("contains the control character {:?}: write plain text on one line", found))
}

fn not_a_share(number: f64) -> Option<String> {
    (!(0.0..=1.0).contains(&number)).then(|| {
        format!("{number} is out of range: write a number from 0 to 1, the share of traces that are kept")
    })
}

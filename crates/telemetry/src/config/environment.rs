//! In: a configuration and the `OTEL_*` variables, by the names and rules of the OpenTelemetry specification. Out: what is
//! left of the configuration. Pure: the variables come through a lookup.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use opentelemetry_sdk::trace::Sampler;

use super::variables::Variables;
use super::{Resolved, TelemetryConfig, control_character, endpoints, not_a_share, resource};

/// Applies the variables to a configuration that has been checked.
pub(super) fn apply(config: TelemetryConfig, lookup: impl Fn(&str) -> Option<String>) -> Resolved {
    let mut variables = Variables::new(&lookup);
    let mut resolved = Resolved {
        sampler: by_share(config.sample_rate),
        attributes: Vec::new(),
        spans: None,
        logs: None,
        metrics_host: None,
        notices: Vec::new(),
        config,
    };
    disable(&mut resolved.config, &mut variables);
    identify(&mut resolved, &mut variables);
    // With everything off there is nothing that further variables could change, or that is worth a warning.
    if resolved.config.enabled {
        let logs_enabled = choose_exporters(&mut resolved.config, &mut variables);
        expose(&mut resolved, &mut variables);
        sample(&mut resolved, &mut variables);
        endpoints::apply(&mut resolved, logs_enabled, &mut variables);
    }
    resolved.notices = variables.notices;
    resolved
}

/// Keeps a share of the traces that begin here, and of others what was decided where they began.
fn by_share(share: f64) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)))
}

fn disable(config: &mut TelemetryConfig, variables: &mut Variables<'_>) {
    let name = "OTEL_SDK_DISABLED";
    match variables.word(name).as_deref() {
        Some("true") => config.enabled = false,
        None | Some("false") => {}
        Some(other) => {
            variables.left_out(name, other, "it is not true or false", "telemetry stays as configured")
        }
    }
}

fn identify(resolved: &mut Resolved, variables: &mut Variables<'_>) {
    let config = &mut resolved.config;
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    if let Some(value) = variables.get(name) {
        match resource::parse(&value) {
            Ok(attributes) => resolved.attributes = resource::take_identity(attributes, config),
            Err(reason) => variables.left_out(name, &value, &reason, "no attribute is taken from it"),
        }
    }
    let name = "OTEL_SERVICE_NAME";
    if let Some(value) = variables.get(name) {
        match control_character(&value) {
            None => config.service_name = value,
            Some(reason) => {
                let instead = format!("the name is {}", config.service_name);
                variables.left_out(name, &value, &reason, &instead);
            }
        }
    }
}

/// Turns signals on and off; false when log records are not to be sent.
fn choose_exporters(config: &mut TelemetryConfig, variables: &mut Variables<'_>) -> bool {
    if let Some(on) = exporter("OTEL_TRACES_EXPORTER", "otlp", "spans go out over OTLP only", variables) {
        config.tracing_enabled = on;
    }
    let reason = "metrics are served for scraping only";
    if let Some(on) = exporter("OTEL_METRICS_EXPORTER", "prometheus", reason, variables) {
        config.prometheus_enabled = on;
    }
    exporter("OTEL_LOGS_EXPORTER", "otlp", "log records go out over OTLP only", variables).unwrap_or(true)
}

/// Whether a list of exporters has ours; nothing when the variable decides nothing.
fn exporter(name: &str, ours: &str, reason: &str, variables: &mut Variables<'_>) -> Option<bool> {
    let value = variables.word(name)?;
    let listed: Vec<_> = value.split(',').map(str::trim).collect();
    let on = match () {
        () if listed.contains(&ours) => Some(true),
        () if listed == ["none"] => Some(false),
        () => None,
    };
    let others: Vec<_> = listed.into_iter().filter(|word| *word != ours && *word != "none").collect();
    if !others.is_empty() || (on.is_none() && value != "none") {
        let instead =
            if on == Some(true) { format!("{ours} is used") } else { "it stays as configured".to_owned() };
        variables.left_out(name, &others.join(","), reason, &instead);
    }
    on
}

fn expose(resolved: &mut Resolved, variables: &mut Variables<'_>) {
    let name = "OTEL_EXPORTER_PROMETHEUS_HOST";
    if let Some(value) = variables.get(name) {
        let address = if value.eq_ignore_ascii_case("localhost") {
            Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
        } else {
            value.trim_start_matches('[').trim_end_matches(']').parse()
        };
        match address {
            Ok(address) => resolved.metrics_host = Some(address),
            Err(_) => {
                let reason = "it is neither an IP address nor localhost";
                variables.left_out(name, &value, reason, "/metrics is served on all addresses");
            }
        }
    }
    let name = "OTEL_EXPORTER_PROMETHEUS_PORT";
    if let Some(value) = variables.get(name) {
        match value.parse::<u16>() {
            Ok(port) if port > 0 => resolved.config.prometheus_port = port,
            _ => {
                let instead = format!("the port is {}", resolved.config.prometheus_port);
                variables.left_out(name, &value, "it is not a number from 1 to 65535", &instead);
            }
        }
    }
}

/// A sampler that is named counts instead of the configured share: with both, traces would be thinned twice.
fn sample(resolved: &mut Resolved, variables: &mut Variables<'_>) {
    let (name, argument_name) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    let configured = format!("sample_rate {} is used", resolved.config.sample_rate);
    let Some(value) = variables.word(name) else {
        if let Some(argument) = variables.get(argument_name) {
            variables.left_out(argument_name, &argument, "OTEL_TRACES_SAMPLER is not set", &configured);
        }
        return;
    };
    let (parent_based, root) = match value.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, value.as_str()),
    };
    let (share, sampler) = match root {
        "always_on" => (1.0, Sampler::AlwaysOn),
        "always_off" => (0.0, Sampler::AlwaysOff),
        "traceidratio" => {
            let share = argument(argument_name, variables);
            (share, Sampler::TraceIdRatioBased(share))
        }
        _ => {
            let reason = "this sampler is not known here";
            variables.left_out(name, &value, reason, &configured);
            return;
        }
    };
    resolved.config.sample_rate = share;
    resolved.sampler = if parent_based { Sampler::ParentBased(Box::new(sampler)) } else { sampler };
}

/// The share that a sampler is to keep: all, by the specification, when none is named.
fn argument(name: &str, variables: &mut Variables<'_>) -> f64 {
    let Some(value) = variables.get(name) else { return 1.0 };
    match value.parse::<f64>() {
        Ok(share) if not_a_share(share).is_none() => share,
        _ => {
            variables.left_out(name, &value, "it is not a number from 0 to 1", "all traces are kept");
            1.0
        }
    }
}

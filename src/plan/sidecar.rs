//! The sidecar's configuration, one file for each signal: which of them a pod's sidecar reads stands in its arguments. In:
//! the validated profile. Out: a ConfigMap. No cluster.
//!
//! ```text
//! otlp, jaeger (loopback only) ─▶ memory_limiter ─▶ otlp_grpc: bounded queue, retries ─▶ the profile's collector
//! ```
//!
//! The ConfigMap is kept for a profile that wants no sidecar any more: pods that have one would not start again without it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

use super::meta::{self, Component};
use super::pipeline::{self, OTLP_GRPC};
use super::{Child, PlanError, components, pod, short_hash};
use crate::validate::ValidatedProfile;
use crate::yaml::{self, YamlError};

/// Where the files are in the sidecar.
pub const DIRECTORY: &str = "/etc/telemetry-sidecar";
/// What all signals share.
pub const BASE_FILE: &str = "base.yaml";
/// Traces by OTLP.
pub const TRACES_FILE: &str = "traces.yaml";
/// Traces by Jaeger Thrift.
pub const JAEGER_FILE: &str = "jaeger.yaml";
/// Metrics by OTLP.
pub const METRICS_FILE: &str = "metrics.yaml";
/// Logs by OTLP.
pub const LOGS_FILE: &str = "logs.yaml";

/// Plans the ConfigMap.
///
/// # Errors
/// When the sidecar's image lacks a component, or a file cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    if !profile.has_collector() {
        return Ok(Vec::new());
    }
    if profile.sidecar {
        components::check(&profile.sidecar_image, pipeline::sidecar::components(profile))?;
    }
    let metadata = meta::object_meta(profile, Component::Sidecar);
    Ok(vec![pod::config_map(metadata, files(&profile.name, profile.sidecar_memory_limit)?)?])
}

/// The files for the sidecar of this profile, which may use so many bytes of memory.
///
/// # Errors
/// When one cannot be written.
pub fn files(profile: &str, memory_limit: u64) -> Result<BTreeMap<String, String>, YamlError> {
    let collector = format!("{profile}-{}:{OTLP_GRPC}", Component::Collector.as_str());
    let parts = pipeline::sidecar::Parts::new(&collector, memory_limit);
    Ok(BTreeMap::from([
        file(BASE_FILE, &parts.base)?,
        file(TRACES_FILE, &parts.traces)?,
        file(JAEGER_FILE, &parts.jaeger)?,
        file(METRICS_FILE, &parts.metrics)?,
        file(LOGS_FILE, &parts.logs)?,
    ]))
}

/// A hash of the files as this version of the operator writes them, whatever the profile.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let files = files("profile", 0).unwrap_or_default();
    short_hash(files.into_values().collect::<String>().as_bytes())
});

fn file(name: &str, content: &impl Serialize) -> Result<(String, String), YamlError> {
    Ok((name.to_owned(), yaml::to_string(content)?))
}

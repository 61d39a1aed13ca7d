//! The managed Prometheus: scrapes the profile's targets and evaluates its rules, so that a profile is complete on a bare
//! cluster. In: the validated profile. Out: account, right to find pods, configuration, Service, Deployment and
//! NetworkPolicy; nothing when another Prometheus does it. No cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume, VolumeMount};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;

use super::meta::{self, Component};
use super::network::{self, Arrow, Peer};
use super::pod::{self, Health, Listener, PodParts};
use super::scrape::{self, ScrapeConfig};
use super::{Child, PlanError, pipeline, slo};
use crate::kinds::ChildKind;
use crate::validate::{Metrics, ValidatedProfile};
use crate::yaml;

/// Queries and the user interface.
pub const PORT: u16 = 9090;

/// User and group `nobody` of the image.
const USER: i64 = 65534;
const CONFIG_DIRECTORY: &str = "/etc/prometheus";
const CONFIG_FILE: &str = "prometheus.yml";
const RULE_FILE: &str = "rules.yaml";
const DATA_DIRECTORY: &str = "/prometheus";

/// Size of the data volume in GiB. One application's 5,000 series at 30 s write some 20 MiB a day.
const DATA_GIB: u64 = 4;
/// How much of it stored samples may take, in GiB. Half: compaction writes the merged block before it deletes the parts,
/// and the kubelet evicts a pod whose volume outgrows its limit.
const RETENTION_GIB: u64 = DATA_GIB / 2;
/// How long samples are kept if they fit: longer than the longest SLO window. A constant, because an argument that
/// followed the SLOs would restart Prometheus, without its samples, at an edit of one.
const RETENTION_TIME: &str = "91d";
/// How often rules are evaluated unless their group says otherwise.
const EVALUATION_INTERVAL: &str = "30s";

/// Plans the managed Prometheus.
///
/// # Errors
/// When an object or a file cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(metrics) = profile.metrics.as_ref().filter(|_| profile.has_managed_prometheus()) else {
        return Ok(Vec::new());
    };
    Ok(vec![
        pod::service_account(profile, Component::Prometheus)?,
        role_binding(profile)?,
        config_map(profile, metrics)?,
        service(profile)?,
        network_policy(profile, metrics)?,
        deployment(profile)?,
    ])
}

/// `prometheus.yml`.
#[derive(Debug, Serialize)]
struct Config {
    global: Global,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerting: Option<Alerting>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule_files: Vec<&'static str>,
    scrape_configs: Vec<ScrapeConfig>,
}

#[derive(Debug, Serialize)]
struct Global {
    evaluation_interval: &'static str,
}

#[derive(Debug, Serialize)]
struct Alerting {
    alertmanagers: Vec<Alertmanager>,
}

#[derive(Debug, Serialize)]
struct Alertmanager {
    scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    path_prefix: String,
    static_configs: [Targets; 1],
}

#[derive(Debug, Serialize)]
struct Targets {
    targets: [String; 1],
}

/// One entry for each Alertmanager, so that each alert goes to all of them: they remove the duplicates themselves.
fn alerting(profile: &ValidatedProfile) -> Option<Alerting> {
    let alertmanager = |url: &String| {
        let (scheme, rest) = url.split_once("://")?;
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(Alertmanager {
            scheme: scheme.to_owned(),
            path_prefix: path.to_owned(),
            static_configs: [Targets { targets: [address.to_owned()] }],
        })
    };
    let alertmanagers: Vec<_> = profile.alertmanager_urls.iter().filter_map(alertmanager).collect();
    (!alertmanagers.is_empty()).then_some(Alerting { alertmanagers })
}

fn config_map(profile: &ValidatedProfile, metrics: &Metrics) -> Result<Child, PlanError> {
    let rules = slo::rule_file(profile)?;
    let config = Config {
        global: Global { evaluation_interval: EVALUATION_INTERVAL },
        alerting: alerting(profile),
        rule_files: rules.iter().map(|_| RULE_FILE).collect(),
        scrape_configs: scrape::configs(profile, metrics)
            .into_iter()
            .map(ScrapeConfig::with_classic_histograms)
            .collect(),
    };
    let mut data = BTreeMap::from([(CONFIG_FILE.to_owned(), yaml::to_string(&config)?)]);
    data.extend(rules.map(|text| (RULE_FILE.to_owned(), text)));
    pod::config_map(meta::object_meta(profile, Component::Prometheus), data)
}

/// Prometheus reads the configuration and the rule file again when they change. So there is no hash of them in the pod
/// template: a restart would lose every sample.
fn deployment(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let parts = PodParts {
        component: Component::Prometheus,
        workload: &profile.prometheus,
        user: USER,
        args: vec![
            format!("--config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"),
            // The second keeps the traces that dashboards link to, the third takes native histograms, which an SLO may measure.
            "--enable-feature=auto-reload-config,exemplar-storage,native-histograms".to_owned(),
            format!("--storage.tsdb.path={DATA_DIRECTORY}"),
            format!("--storage.tsdb.retention.time={RETENTION_TIME}"),
            format!("--storage.tsdb.retention.size={RETENTION_GIB}GB"),
            "--log.format=json".to_owned(),
        ],
        ports: vec![("http", PORT.into())],
        health: Health { port: PORT.into(), live: "/-/healthy", ready: "/-/ready" },
        volumes: vec![pod::config_volume(profile, Component::Prometheus, CONFIG_DIRECTORY), data_volume()],
        config_hash: None,
        api_access: true,
        drains: false,
    };
    // Each pod has a volume of its own, so two never meet at one database, and no scrape is missed while one takes over.
    pod::deployment(profile, &parts, Some(1), pod::new_pod_first())
}

fn data_volume() -> (Volume, VolumeMount) {
    (
        Volume {
            name: "data".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(format!("{DATA_GIB}Gi"))),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        },
        VolumeMount {
            name: "data".to_owned(),
            mount_path: DATA_DIRECTORY.to_owned(),
            ..VolumeMount::default()
        },
    )
}

/// The right to find pods, in the profile's namespace only.
fn role_binding(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    Child::new(
        ChildKind::RoleBinding,
        &RoleBinding {
            metadata: meta::object_meta(profile, Component::Prometheus),
            role_ref: RoleRef {
                api_group: Some(ChildKind::RoleBinding.group().to_owned()),
                kind: profile.prometheus_role.kind.to_owned(),
                name: profile.prometheus_role.name.clone(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: meta::child_name(profile, Component::Prometheus),
                namespace: Some(profile.namespace.clone()),
                api_group: None,
            }]),
        },
    )
}

fn service(profile: &ValidatedProfile) -> Result<Child, PlanError> {
    let listener = Listener { name: "http", port: PORT, app_protocol: "http" };
    pod::service(profile, Component::Prometheus, &[listener])
}

/// The API server's address is not known to a policy: its usual ports are open to any address.
fn network_policy(profile: &ValidatedProfile, metrics: &Metrics) -> Result<Child, PlanError> {
    let ingress = [
        Arrow::new(profile, Peer::Software("grafana"), &[PORT]),
        Arrow::new(profile, Peer::Component(Component::Jaeger), &[PORT]),
        Arrow::new(profile, Peer::Software(crate::kinds::MANAGED_BY), &[PORT]),
    ];
    let mut egress = vec![
        Arrow::new(profile, Peer::Application, &[metrics.port]),
        Arrow::new(
            profile,
            Peer::Component(Component::Collector),
            &[pipeline::PROMETHEUS_EXPORTER, pipeline::OWN_METRICS],
        ),
        Arrow::new(profile, Peer::Anywhere, &[443, 6443]),
    ];
    egress.extend(profile.alertmanager_urls.iter().flat_map(|url| Arrow::to_url(profile, url)));
    network::policy(profile, Component::Prometheus, &ingress, &egress)
}

#[cfg(test)]
mod tests;

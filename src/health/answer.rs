//! Answers of Prometheus' API → plain values. Pure.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;
use serde::Deserialize;

use super::subject::Groups;
use super::{Failing, Rules, Target};
use crate::stable::stable;

/// `/api/v1/targets`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetList {
    active_targets: Vec<ActiveTarget>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    scrape_pool: String,
    scrape_url: String,
    #[serde(default)]
    last_error: String,
    health: String,
}

/// `/api/v1/scrape_pools`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pools {
    pub(super) scrape_pools: Vec<String>,
}

/// `/api/v1/rules`
#[derive(Deserialize)]
pub(super) struct RuleList {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    #[serde(default)]
    health: String,
    #[serde(default)]
    last_error: String,
}

/// `/api/v1/status/runtimeinfo`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeInfo {
    pub(super) reload_config_success: bool,
}

/// The job's targets that are down, and whether some have not been scraped yet; none when the job has no target.
pub(super) fn targets(list: TargetList, pool: &str) -> Option<(Vec<Target>, bool)> {
    // A server that does not know the filter sends every target.
    let mine: Vec<_> = list.active_targets.into_iter().filter(|target| target.scrape_pool == pool).collect();
    let pending = mine.iter().any(|target| target.health == "unknown");
    let mut down: Vec<_> = mine.iter().filter(|target| target.health == "down").map(target).collect();
    down.sort();
    (!mine.is_empty()).then_some((down, pending))
}

fn target(active: &ActiveTarget) -> Target {
    let url = Url::parse(&active.scrape_url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or(&active.scrape_url);
    Target {
        pod: match (active.labels.get("namespace"), active.labels.get("pod")) {
            (Some(namespace), Some(pod)) => format!("{namespace}/{pod}"),
            _ => host.to_owned(),
        },
        port: url.as_ref().and_then(Url::port_or_known_default).unwrap_or_default(),
        path: url.as_ref().map(|url| url.path().to_owned()).unwrap_or_default(),
        error: scrape_error(&active.last_error),
    }
}

/// The part of a scrape error that stays the same while the cause does.
fn scrape_error(error: &str) -> String {
    for (sign, plain) in [
        ("connection refused", "connection refused"),
        ("connection reset", "connection reset"),
        ("no route to host", "no route to host"),
        ("context deadline exceeded", "no answer in time"),
        ("i/o timeout", "no answer in time"),
        ("unsupported Content-Type", "the answer is not in a format of Prometheus"),
        // What follows is quoted from the answer.
        ("while parsing", "the answer is not in a format of Prometheus"),
        ("\"INVALID\"", "the answer is not in a format of Prometheus"),
    ] {
        if error.contains(sign) {
            return plain.to_owned();
        }
    }
    // `Get "http://10.0.0.1:8081/metrics": EOF`
    let error =
        error.strip_prefix("Get \"").and_then(|rest| rest.split_once("\": ")).map_or(error, |(_, rest)| rest);
    stable(error)
}

/// The profile's groups that are loaded, and their rules that fail.
pub(super) fn rules(list: RuleList, wanted: &Groups, refused: bool) -> Rules {
    let mine: Vec<_> = list.groups.into_iter().filter(|group| wanted.names.contains(&group.name)).collect();
    let mut failing: Vec<_> = mine
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .filter(|(_, rule)| rule.health == "err")
        .map(|(group, rule)| Failing {
            group: group.name.clone(),
            rule: rule.name.clone(),
            error: stable(&without_series(&rule.last_error)),
        })
        .collect();
    failing.sort();
    failing.dedup();
    let loaded: BTreeSet<_> = mine.into_iter().map(|group| group.name).collect();
    Rules { refused, loaded, failing }
}

/// An evaluation error without the series that it happened to meet first.
fn without_series(error: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for c in error.chars() {
        match c {
            '{' | '[' => {
                if depth == 0 {
                    kept.push_str("{...}");
                }
                depth += 1;
            }
            '}' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests;

//! Names: whatever two profiles are called, neither their dashboards, files, jobs and rules nor their objects become one.
//! Where two names meet all the same, the later profile says so, and the object stays the earlier one's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::plan::scrape::SCRAPE_LABEL;
use telemetry_operator::plan::slo::RULES_LABEL;

use super::{Base, bases, texts};
use crate::common::*;

/// Namespaces and profiles: a namespace `a-b` with `c` reads like a namespace `a` with `b-c`.
const NAMES: [&str; 6] = ["a", "b", "a-a", "a-b", "b-a", "b-b"];
/// Labels of ConfigMaps whose files something carries from all namespaces to one directory.
const CARRIED: [&str; 3] = ["grafana_dashboard", SCRAPE_LABEL, RULES_LABEL];
/// What the profile `NAME-dashboard` and the profile `NAME` both want to write.
const SHARED: &str = "ConfigMap/a-dashboard-metrics";

/// The name `a`, and `a` with each word that stands behind a profile's name in its objects.
fn names_like_objects(base: &Base) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["a".to_owned()]);
    for (reference, _) in base.objects_of("a", "media") {
        let (_, name) = reference.split_once('/').expect("Kind/name");
        names.extend(name.match_indices('-').map(|(at, _)| name[..at].to_owned()));
        names.insert(name.to_owned());
    }
    names
}

/// What has to be there once only in a whole cluster, for one profile: files that are carried to one directory, and what is read
/// from them.
fn cluster_wide(objects: &[(String, Value)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, object) in objects {
        let labels = object["metadata"]["labels"].as_object().expect("labels");
        let carried = CARRIED.iter().any(|label| labels.contains_key(*label));
        for (file, text) in object["data"].as_object().into_iter().flatten().filter(|_| carried) {
            found.insert(format!("file {file}"));
            // JSON is YAML.
            let content: Value = serde_yaml::from_str(text.as_str().expect("a text")).expect("YAML");
            texts(&content, "", &mut |path, text| {
                if ["/uid", "/title", "/scrape_configs/*/job_name", "/groups/*/name"].contains(&path) {
                    found.insert(format!("{path} {text}"));
                }
            });
        }
    }
    found
}

#[test]
fn what_the_whole_cluster_shares_is_unique() {
    // Only the files: the other ways carry the same texts in objects that have a namespace.
    let base = bases().swap_remove(1);
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (namespace, name) in NAMES.iter().flat_map(|a| NAMES.iter().map(move |b| (a, b))) {
        let found = cluster_wide(&base.objects_of(name, namespace));
        assert!(found.len() > 15, "{found:?}");
        for key in found {
            if let Some(other) = seen.insert(key.clone(), format!("{namespace}/{name}")) {
                panic!("{key} is that of {other} and of {namespace}/{name}");
            }
        }
    }
}

/// One pair of names meets, and a test below shows what comes of it.
#[test]
fn two_profiles_of_a_namespace_want_different_objects() {
    for base in bases() {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut met = Vec::new();
        let names = names_like_objects(&base);
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            for (reference, _) in base.objects_of(&name, "media") {
                if let Some(other) = seen.insert(reference.clone(), name.clone()) {
                    met.push((other, name.clone(), reference));
                }
            }
        }
        // The scrape file of one, and a dashboard of the other.
        let by_files = [("a".to_owned(), "a-dashboard".to_owned(), SHARED.to_owned())];
        assert_eq!(met, if base.name.starts_with("by files") { &by_files[..] } else { &[] }, "{}", base.name);
    }
}

/// Whichever of the two profiles comes first keeps the object; the other one is told its name.
#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_profile_keeps_the_object_and_the_later_one_names_it() {
    let cluster = shared();
    let client = cluster.client().await;
    let orders = [["a", "a-dashboard"], ["a-dashboard", "a"]];
    let mut namespaces = Vec::new();
    for _ in orders {
        namespaces.push(cluster.namespace("meet").await);
    }
    let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    let _operator = cluster.operator(&names, &[]);
    let mut spec = full_spec();
    spec["metrics"]["prometheus"] = json!("ConfigMap");
    for ([first, second], namespace) in orders.into_iter().zip(&names) {
        apply_profile(&client, namespace, first, spec.clone()).await;
        let profile = observed(&client, namespace, first).await;
        assert_eq!(condition(&profile, "Conflicted").0, "False", "{first}");
        let api = child_api(&client, namespace, ChildKind::ConfigMap);
        let (_, name) = parse_reference(SHARED);
        let before = api.get(&name).await.expect("the first one's object");
        apply_profile(&client, namespace, second, spec.clone()).await;
        let profile = observed(&client, namespace, second).await;
        let (status, _, message) = condition(&profile, "Conflicted");
        assert_eq!(status, "True", "{second}: {message}");
        assert!(message.contains(SHARED), "{message}");
        let made = profile.status.expect("a status").children;
        assert!(made.len() > 10 && !made.iter().any(|child| child == SHARED), "{made:?}");
        cluster.quiet(&[namespace]).await;
        let after = api.get(&name).await.expect("the object is still there");
        assert_eq!(after.metadata, before.metadata, "{namespace}: {SHARED} was touched");
        assert_eq!(after.data, before.data);
        let profile = observed(&client, namespace, first).await;
        assert_eq!(condition(&profile, "Conflicted").0, "False", "{first}");
    }
}

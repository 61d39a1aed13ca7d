use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::*;

fn profile(namespace: &str, name: &str, spec: Value) -> StoredProfile {
    let mut spec = spec;
    spec["service"] = json!({"name": name});
    let body = json!({
        "apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": name, "namespace": namespace, "generation": 1}, "spec": spec,
    });
    Arc::new(DeserializeGuard(Ok(serde_json::from_value(body).unwrap())))
}

fn selecting(namespace: &str, name: &str) -> StoredProfile {
    profile(namespace, name, json!({"selector": {"matchLabels": {"app": name}}}))
}

fn service() -> Service {
    Service { name: "hook".to_owned(), namespace: "system".to_owned(), port: 443 }
}

fn entries_of(profiles: &[StoredProfile]) -> Vec<Value> {
    entries(profiles, &service(), "PEM")
}

#[test]
fn an_entry_opts_in_the_pods_of_its_profile_only() {
    let spec = json!({"selector": {
        "matchLabels": {"app": "a"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"}],
    }});
    let made = entries_of(&[profile("shop", "trakt", spec)]);
    assert_eq!(made.len(), 1);
    let entry = &made[0];
    assert_eq!(entry["name"], "trakt.shop.sidecar.telemetry-operator.dev");
    assert_eq!(
        entry["namespaceSelector"],
        json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop"]}]})
    );
    assert_eq!(
        entry["objectSelector"],
        json!({"matchLabels": {"app": "a"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"},
            {"key": "telemetry-operator.dev/inject", "operator": "NotIn", "values": ["false"]},
        ]})
    );
    assert_eq!(
        entry["clientConfig"],
        json!({"service": {"name": "hook", "namespace": "system", "path": "/mutate-pods", "port": 443}, "caBundle": "UEVN"})
    );
    for (field, value) in
        [("failurePolicy", "Ignore"), ("reinvocationPolicy", "IfNeeded"), ("sideEffects", "None")]
    {
        assert_eq!(entry[field], value);
    }
    assert_eq!(entry["timeoutSeconds"], 2);
}

#[test]
fn profiles_without_a_sidecar_or_on_their_way_out_have_none() {
    let selector = json!({"matchLabels": {"app": "a"}});
    let off = profile("a", "off", json!({"selector": selector, "sidecar": {"enabled": false}}));
    let mut going = selecting("a", "going").0.clone().unwrap();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let going = Arc::new(DeserializeGuard(Ok(going)));
    let bad = profile("a", "bad", json!({"selector": {"matchLabels": {"two//parts": "x"}}}));
    assert_eq!(entries_of(&[off, going, bad]), Vec::<Value>::new());
}

#[test]
fn the_order_of_the_store_changes_nothing() {
    let (one, two, three) = (selecting("b", "a"), selecting("a", "b"), selecting("a", "a"));
    let made = entries_of(&[one.clone(), two.clone(), three.clone()]);
    assert_eq!(made, entries_of(&[three, one, two]));
    assert_eq!(made[0]["name"], "a.a.sidecar.telemetry-operator.dev");
}

#[test]
fn many_or_large_profiles_share_one_entry() {
    let many: Vec<_> =
        (0..=MOST_ENTRIES).map(|n| selecting(&format!("n{}", n % 7), &format!("p{n}"))).collect();
    assert_eq!(entries_of(&many[..MOST_ENTRIES]).len(), MOST_ENTRIES);
    let shared = entries_of(&many);
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0]["name"], "all.sidecar.telemetry-operator.dev");
    assert_eq!(
        shared[0]["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["n0", "n1", "n2", "n3", "n4", "n5", "n6"])
    );
    assert_eq!(
        shared[0]["objectSelector"],
        json!({"matchExpressions": [{"key": "telemetry-operator.dev/inject", "operator": "NotIn", "values": ["false"]}]})
    );
    let values: Vec<_> = (0..32).map(|n| format!("{n:063}")).collect();
    let expressions: Vec<_> =
        (0..16).map(|n| json!({"key": format!("k{n}"), "operator": "NotIn", "values": values})).collect();
    let large: Vec<_> = (0..40)
        .map(|n| profile("n", &format!("p{n}"), json!({"selector": {"matchExpressions": expressions}})))
        .collect();
    assert_eq!(entries_of(&large).len(), 1);
}

fn live(entries: &[Value]) -> MutatingWebhookConfiguration {
    serde_json::from_value(json!({"metadata": {"name": "hook", "resourceVersion": "7"}, "webhooks": entries}))
        .unwrap()
}

#[test]
fn what_is_there_is_not_written() {
    let wanted = entries_of(&[selecting("a", "a"), selecting("a", "b")]);
    assert!(is_written(&live(&wanted), &wanted));
    let reversed: Vec<_> = wanted.iter().rev().cloned().collect();
    assert!(is_written(&live(&reversed), &wanted), "the order means nothing");
    assert!(is_written(&live(&[]), &[]));
    assert!(!is_written(&live(&wanted), &wanted[..1]));
    for (path, value) in [
        ("/timeoutSeconds", json!(30)),
        ("/failurePolicy", json!("Fail")),
        ("/clientConfig/caBundle", json!("UEVO")),
        ("/objectSelector/matchLabels", json!({"app": "a", "more": "x"})),
        ("/rules/0/operations", json!(["CREATE", "UPDATE"])),
    ] {
        let mut changed = wanted.clone();
        *changed[0].pointer_mut(path).unwrap() = value;
        assert!(!is_written(&live(&changed), &wanted), "{path}");
    }
}

#[test]
fn an_authority_is_trusted_when_every_entry_has_it() {
    let both = entries(&[selecting("a", "a"), selecting("a", "b")], &service(), "OLD NEW");
    assert!(trusts(&live(&both), "NEW"));
    let mut one = both.clone();
    one[1]["clientConfig"]["caBundle"] = json!("T0xE");
    assert!(!trusts(&live(&one), "NEW"));
    assert!(trusts(&live(&[]), "NEW"), "nobody asks");
}

//! Prometheus objects as people have them → who is asked, and what the others want.

use serde_json::{Value, json};

use super::*;

fn object(namespace: &str, name: &str, spec: Value) -> Object {
    Object {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        spec: serde_json::from_value(spec).expect("a spec"),
    }
}

fn monitor(labels: &[(&str, &str)]) -> Monitor {
    let own = [("app.kubernetes.io/managed-by", "telemetry-operator")];
    let pairs = own.iter().chain(labels).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Monitor { kind: ChildKind::PodMonitor, name: "trakt-metrics".to_owned(), labels: pairs.collect() }
}

fn media() -> Namespace {
    let labels = [("kubernetes.io/metadata.name", "media"), ("team", "films")];
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Namespace { name: "media".to_owned(), labels }
}

fn miss(spec: Value, labels: &[(&str, &str)]) -> Option<String> {
    match choose(&[object("monitoring", "k8s", spec)], &monitor(labels), &media()) {
        Choice::Unselected(misses) => Some(misses.join("; ")),
        Choice::Ask(_) => None,
        other => panic!("{other:?}"),
    }
}

/// The selectors' meaning is that of the Prometheus Operator's documentation.
#[test]
fn absent_selects_nothing_and_empty_selects_everything() {
    let all = json!({});
    let release = json!({"matchLabels": {"release": "kps"}});
    let team =
        |team: &str| json!({"matchExpressions": [{"key": "team", "operator": "In", "values": [team]}]});
    let kps: &[(&str, &str)] = &[("release", "kps")];
    let cases = [
        (json!({}), kps, Some("spec.podMonitorSelector")),
        (json!({"podMonitorSelector": all, "podMonitorNamespaceSelector": all}), &[], None),
        (json!({"podMonitorSelector": all}), &[], Some("its own namespace only")),
        (json!({"podMonitorSelector": release, "podMonitorNamespaceSelector": all}), kps, None),
        (
            json!({"podMonitorSelector": release, "podMonitorNamespaceSelector": all}),
            &[("release", "other")],
            Some("wants release=kps: add the label to spec.metrics.labels"),
        ),
        (json!({"podMonitorSelector": all, "podMonitorNamespaceSelector": team("films")}), &[], None),
        (
            json!({"podMonitorSelector": all, "podMonitorNamespaceSelector": team("music")}),
            &[],
            Some("label the namespace media so"),
        ),
        (
            json!({"podMonitorSelector": {"matchLabels": {"app.kubernetes.io/part-of": "shop"}}, "podMonitorNamespaceSelector": all}),
            &[],
            Some("change its spec.podMonitorSelector"),
        ),
        (
            json!({"podMonitorSelector": {"matchExpressions": [{"key": "release", "operator": "Odd"}]}, "podMonitorNamespaceSelector": all}),
            kps,
            Some("an unknown operator"),
        ),
        // The selector of another kind says nothing about this one.
        (
            json!({"serviceMonitorSelector": all, "serviceMonitorNamespaceSelector": all}),
            &[],
            Some("none at all"),
        ),
    ];
    for (spec, labels, expected) in cases {
        let found = miss(spec.clone(), labels);
        match expected {
            None => assert_eq!(found, None, "{spec}"),
            Some(text) => {
                let found = found.unwrap_or_else(|| panic!("{spec} selects it"));
                assert!(
                    found.contains("Prometheus monitoring/k8s") && found.contains(text),
                    "{spec}: {found}"
                );
            }
        }
    }
}

#[test]
fn its_own_namespace_needs_no_selector() {
    let here = object("media", "own", json!({"podMonitorSelector": {}}));
    assert!(matches!(choose(&[here], &monitor(&[]), &media()), Choice::Ask(_)));
}

#[test]
fn the_first_that_selects_and_can_be_asked_is_asked_at_its_first_pod() {
    let selecting = |more: Value| {
        let mut spec = json!({"podMonitorSelector": {}, "podMonitorNamespaceSelector": {}});
        spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        spec
    };
    let url = |more: Value| match choose(
        &[object("monitoring", "k8s", selecting(more))],
        &monitor(&[]),
        &media(),
    ) {
        Choice::Ask(prometheus) => prometheus.url,
        other => panic!("{other:?}"),
    };
    assert_eq!(url(json!({})), "http://prometheus-k8s-0.prometheus-operated.monitoring.svc:9090");
    assert_eq!(
        url(json!({"routePrefix": "/prom/", "serviceName": "own", "web": {"tlsConfig": {"cert": {}}}})),
        "https://prometheus-k8s-0.own.monitoring.svc:9090/prom"
    );
    assert_eq!(
        url(json!({"routePrefix": "/"})),
        "http://prometheus-k8s-0.prometheus-operated.monitoring.svc:9090"
    );

    let closed = object("a", "sharded", selecting(json!({"shards": 2})));
    let local = object("b", "local", selecting(json!({"listenLocal": true})));
    let open = object("c", "open", selecting(json!({"shards": 1})));
    let other = object("0", "other", json!({}));
    let found = choose(&[open, local.clone(), closed.clone(), other.clone()], &monitor(&[]), &media());
    assert!(matches!(&found, Choice::Ask(prometheus) if prometheus.name == "Prometheus c/open"), "{found:?}");
    let found = choose(&[local, closed, other], &monitor(&[]), &media());
    assert!(matches!(&found, Choice::Closed(why) if why.contains("a/sharded")), "{found:?}");
    assert_eq!(choose(&[], &monitor(&[]), &media()), Choice::NoObjects);
}

#[test]
fn labels_of_namespaces_are_read_only_where_they_matter() {
    for (spec, reads) in [
        (json!({"podMonitorNamespaceSelector": {}}), false),
        (json!({}), false),
        (json!({"ruleNamespaceSelector": {"matchLabels": {"a": "b"}}}), true),
    ] {
        assert_eq!(object("a", "b", spec.clone()).reads_namespaces(), reads, "{spec}");
    }
}

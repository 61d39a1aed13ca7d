//! PromQL under a real Prometheus' parser: whatever selector a profile gives, the query keeps its form and stays within the
//! profile's namespace.

use serde_json::Value;
use testbed::{Directory, http_get};

use super::rendered::{self, DELIVERIES};
use super::{fields, payloads, stages};
use crate::prometheus::Prometheus;

/// Fields that hold a selector.
const SELECTORS: [&str; 6] = [
    "spec.slos[].ratio.good",
    "spec.slos[].ratio.bad",
    "spec.slos[].ratio.total",
    "spec.slos[].latency.histogram",
    "spec.slos[].freshness.counter",
    "spec.slos[].freshness.timestamp",
];

/// The tree of a query as Prometheus understands it.
fn tree(url: &str, query: &str) -> Value {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (status, body) = http_get(&format!("{url}/api/v1/parse_query?query={encoded}")).expect("an answer");
    assert_eq!(status, 200, "{query}: {body}");
    serde_json::from_str::<Value>(&body).expect("JSON")["data"].take()
}

/// Checks each selector of a tree, and takes out what a profile may choose. Counts the selectors.
fn within(tree: &mut Value, namespace: &str) -> usize {
    let mut found = 0;
    if let Some(matchers) = tree["matchers"].as_array() {
        let ours = |matcher: &Value| matcher["name"] == "namespace";
        let all: Vec<_> = matchers.iter().filter(|matcher| ours(matcher)).collect();
        assert_eq!(all.len(), 1, "{matchers:?}");
        assert_eq!((&all[0]["type"], &all[0]["value"]), (&"=".into(), &namespace.into()), "{matchers:?}");
        tree["matchers"] = Value::Null;
        tree["name"] = Value::Null;
        found += 1;
    }
    let parts: Box<dyn Iterator<Item = &mut Value>> = match tree {
        Value::Object(map) => Box::new(map.values_mut()),
        Value::Array(list) => Box::new(list.iter_mut()),
        _ => Box::new(std::iter::empty()),
    };
    found + parts.filter(|part| !part.is_null()).map(|part| within(part, namespace)).sum::<usize>()
}

/// Every expression of the rules.
fn expressions(body: &Value) -> Vec<String> {
    let children = rendered::children(body, "media", DELIVERIES[0]);
    let rules = children.iter().find(|child| child.kind.name() == "PrometheusRule").expect("rules");
    let groups = rules.body["spec"]["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

#[test]
fn a_selector_never_leaves_its_place_or_its_namespace() {
    let directory = Directory::create("canary-promql").expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "{}").expect("a file");
    let prometheus = Prometheus::start(&["--config.file=prometheus.yml".to_owned()], directory.path());
    let [base, _] = fields::bases();
    let [all, _] = fields::all(&fields::bases());
    let plain: Vec<_> = expressions(&base)
        .iter()
        .map(|query| {
            let mut tree = tree(&prometheus.url, query);
            within(&mut tree, "media");
            tree
        })
        .collect();
    let (mut passed, mut selectors) = (0, 0);
    for payload in payloads::all(directory.path(), "127.0.0.1:1") {
        let fields: Vec<_> =
            all.iter().filter(|field| SELECTORS.contains(&field.name.as_str())).cloned().collect();
        assert_eq!(fields.len(), SELECTORS.len());
        let body = stages::with(&base, &fields, &payload);
        if stages::validated(&body).is_err() {
            continue;
        }
        passed += 1;
        for (query, plain) in expressions(&body).iter().zip(&plain) {
            let mut tree = tree(&prometheus.url, query);
            selectors += within(&mut tree, "media");
            assert_eq!(tree, *plain, "{payload:?} changed the form of {query}");
        }
    }
    println!(
        "{passed} payloads are selectors; {selectors} selectors in their queries, each within the namespace"
    );
    assert!(passed >= 4 && selectors > 200, "{passed} {selectors}");
}

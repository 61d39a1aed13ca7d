//! The monitors against the Prometheus Operator's own definitions.

use std::fs;

use serde_json::Value;
use telemetry_operator::kinds::ChildKind;
use telemetry_operator::plan;
use testbed::Part;

use super::{delivered, monitor_kinds, only, profile, specs};

/// Every field that the monitors set is one of their CRDs, of its type and among its words.
#[test]
fn monitors_fit_their_definitions() {
    let directory = testbed::path(Part::PrometheusOperatorCrds).expect("the definitions");
    for spec in specs() {
        let children = plan::scrape::plan(&profile("trakt", &delivered(&spec, "Operator"), &monitor_kinds()))
            .expect("a plan");
        for kind in [ChildKind::PodMonitor, ChildKind::ServiceMonitor] {
            let file = directory.join(format!("monitoring.coreos.com_{}.yaml", kind.plural()));
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let crd: Value = serde_yaml::from_str(&text).expect("YAML");
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert_fits(&only(&children, kind)["spec"], schema, kind.name());
        }
    }
}

fn assert_fits(value: &Value, schema: &Value, path: &str) {
    let one_of = |words: &Value| words.as_array().is_none_or(|words| words.contains(value));
    match value {
        Value::Object(map) => {
            assert_eq!(schema["type"], "object", "{path}");
            for (name, value) in map {
                let path = format!("{path}.{name}");
                let field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                assert_fits(value, field.unwrap_or_else(|| panic!("{path} is not defined")), &path);
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(map.contains_key(name.as_str().expect("a name")), "{path} lacks {name}");
            }
        }
        Value::Array(list) => {
            assert_eq!(schema["type"], "array", "{path}");
            list.iter().for_each(|value| assert_fits(value, &schema["items"], &format!("{path}[]")));
        }
        Value::String(text) => {
            assert_eq!(schema["type"], "string", "{path}");
            assert!(one_of(&schema["enum"]), "{path}: {text:?} is none of {}", schema["enum"]);
        }
        other => panic!("{path}: no monitor has a value like {other}"),
    }
}

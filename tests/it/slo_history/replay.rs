//! The generated rules over the whole history, in the order in which Prometheus evaluates them: each rule's own expression at
//! every step, and what a record gives is written back before the next rule. In: a rule group. Out: what its rules gave.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use testbed::remote_write::Labels;

use super::store::{Store, Values};

/// What a record, or a tier's alert, gave for each of the SLO's groups: by the value of `route`, empty where there are none.
pub type Outcomes = BTreeMap<String, BTreeMap<String, Values>>;

/// Evaluates the group's records and burn-rate alerts at every step, or at each of so many, but not while Prometheus is down.
pub fn replay(store: &Store, group: &Value, every: usize, down: &Range<usize>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for rule in group["rules"].as_array().expect("rules") {
        let (record, tier) = (rule["record"].as_str(), rule["labels"]["slo_tier"].as_str());
        let Some(name) = record.or(tier) else { continue };
        let outcome = outcomes.entry(name.to_owned()).or_default();
        let expression = rule["expr"].as_str().expect("an expression");
        for (mut labels, mut values) in store.evaluate(expression, every) {
            values[down.clone()].fill(None);
            if let Some(record) = record {
                let own: Labels = serde_json::from_value(rule["labels"].clone()).expect("labels");
                labels.extend(own);
                labels.insert("__name__".to_owned(), record.to_owned());
                store.record(labels.clone(), &values, every);
            }
            let route = labels.remove("route").unwrap_or_default();
            let twice = outcome.insert(route, values);
            assert!(twice.is_none(), "{name}: {expression} gives more than one series for a group");
        }
    }
    outcomes
}

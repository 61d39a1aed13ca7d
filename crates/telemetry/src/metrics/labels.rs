//! In: names of attributes and labels. Out: names that Prometheus takes. A single bad one would cost it the whole scrape. Pure.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use prometheus::proto::{LabelPair, MetricFamily};

/// `le` is for buckets, `__name__` for the metric.
const RESERVED: [&str; 2] = ["le", "__name__"];

/// The labels that these attributes become. The same as `opentelemetry-prometheus` makes of them, and [`repair`] of that.
pub(super) fn of_attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let mut attributes: Vec<_> = attributes.iter().collect();
    attributes.sort_by(|left, right| left.key.cmp(&right.key));
    merge(attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.to_string())))
}

/// The labels of a series.
pub(super) fn of_series(labels: &[LabelPair]) -> BTreeMap<String, String> {
    merge(labels.iter().map(|label| (label.name(), label.value().to_owned())))
}

/// Gives every label a name that Prometheus takes. `opentelemetry-prometheus` lets colons and leading digits through.
pub(super) fn repair(families: &mut [MetricFamily]) {
    let metrics = families.iter_mut().flat_map(|family| family.mut_metric());
    for metric in metrics.filter(|metric| !metric.get_label().iter().all(|label| is_valid(label.name()))) {
        let labels = of_series(metric.get_label());
        metric.set_label(labels.into_iter().map(|(name, value)| label_pair(name, value)).collect());
    }
}

/// Values whose labels end up with the same name stand beside each other.
fn merge<'a>(labels: impl Iterator<Item = (&'a str, String)>) -> BTreeMap<String, String> {
    let mut merged = BTreeMap::<_, String>::new();
    for (name, value) in labels {
        merged.entry(exposed(name)).and_modify(|other| *other = format!("{other};{value}")).or_insert(value);
    }
    merged
}

fn exposed(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let name = name.replace(|character| !fits(character), "_");
    if RESERVED.contains(&name.as_str()) {
        format!("exported_{name}")
    } else if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

fn is_valid(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(fits)
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && !RESERVED.contains(&name)
}

fn label_pair(name: String, value: String) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name);
    label.set_value(value);
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exposed_name_is_valid_and_a_valid_name_stays_as_it_is() {
        let names = [
            ("http.method", "http_method"),
            ("a:b", "a_b"),
            ("2xx", "_2xx"),
            ("größe", "gr__e"),
            ("", "_"),
            ("le", "exported_le"),
            ("__name__", "exported___name__"),
            ("..name..", "exported___name__"),
            ("_ok9", "_ok9"),
        ];
        for (name, expected) in names {
            assert_eq!(exposed(name), expected, "{name}");
            assert!(is_valid(expected), "{expected}");
            assert_eq!(is_valid(name), name == expected, "{name}");
        }
    }

    #[test]
    fn values_of_one_name_are_joined_in_the_order_of_the_attributes() {
        let attributes =
            [("b", "3"), ("a.b", "2"), ("a-b", "1")].map(|(key, value)| KeyValue::new(key, value));
        let labels: Vec<_> = of_attributes(&attributes).into_iter().collect();
        assert_eq!(labels, [("a_b".to_owned(), "1;2".to_owned()), ("b".to_owned(), "3".to_owned())]);
    }
}

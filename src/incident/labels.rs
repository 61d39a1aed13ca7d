//! Labels of a series that some matchers select and others do not. In: matchers. Out: labels, or the one that has no value. No
//! cluster.
//!
//! A value is looked for among those that the matchers name, one that each regular expression matches, and a few others.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::promql::Selector;

/// Values that suit most of what is not named. The empty one is a label that is not there.
const OTHERS: [&str; 5] = ["other", "200", "500", "x", ""];

pub(super) type Labels = BTreeMap<String, String>;

/// Labels that `selector` selects.
pub(super) fn selected(selector: &Selector) -> Result<Labels, String> {
    let labels: BTreeSet<_> = selector.matchers.iter().map(|(label, ..)| label.as_str()).collect();
    let value = |label: &str| {
        let value = candidates(label, &[selector]).into_iter().find(|value| matches(selector, label, value));
        value.map(|value| (label.to_owned(), value)).ok_or_else(|| format!("the label {label} in {selector}"))
    };
    labels.into_iter().map(value).collect()
}

/// Labels that `selector` selects and `other` does not.
pub(super) fn selected_but_not(selector: &Selector, other: &Selector) -> Result<Labels, String> {
    let mut labels = selected(selector)?;
    let differing = other.matchers.iter().find_map(|(label, ..)| {
        let fits = |value: &String| matches(selector, label, value) && !matches(other, label, value);
        candidates(label, &[selector, other]).into_iter().find(fits).map(|value| (label.clone(), value))
    });
    let (label, value) =
        differing.ok_or_else(|| format!("an event that {selector} counts and {other} does not"))?;
    labels.insert(label, value);
    Ok(labels)
}

/// Labels that both select.
pub(super) fn selected_by_both(one: &Selector, other: &Selector) -> Result<Labels, String> {
    let mut both = one.clone();
    both.matchers.extend(other.matchers.iter().cloned());
    selected(&both)
}

fn candidates(label: &str, selectors: &[&Selector]) -> Vec<String> {
    let matchers =
        selectors.iter().flat_map(|selector| &selector.matchers).filter(|(name, ..)| name == label);
    let named = matchers.filter_map(|(_, operator, value)| match *operator {
        "=" | "!=" => Some(value.clone()),
        _ => sample(value),
    });
    named.chain(OTHERS.map(str::to_owned)).collect()
}

fn matches(selector: &Selector, label: &str, value: &str) -> bool {
    let mut matchers = selector.matchers.iter().filter(|(name, ..)| name == label);
    matchers.all(|(_, operator, wanted)| {
        let fits = || Regex::new(&format!("^(?s:{wanted})$")).is_ok_and(|regex| regex.is_match(value));
        match *operator {
            "=" => value == wanted,
            "!=" => value != wanted,
            "=~" => fits(),
            _ => !fits(),
        }
    })
}

/// A text that the pattern matches; what it may leave out is there once, so that `.+` and `.*` are no empty text.
fn sample(pattern: &str) -> Option<String> {
    regex_syntax::parse(pattern).ok().map(|hir| text(&hir))
}

fn text(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => String::new(),
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).into_owned(),
        HirKind::Class(Class::Unicode(class)) => {
            let holds = |c: char| class.iter().any(|range| (range.start()..=range.end()).contains(&c));
            let plain = ('0'..='9').chain('a'..='z').chain('A'..='Z').find(|&c| holds(c));
            plain.or_else(|| class.iter().next().map(|range| range.start())).into_iter().collect()
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.iter().next().map(|range| char::from(range.start())).into_iter().collect()
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            text(&repetition.sub).repeat(repetition.min.max(1).min(most) as usize)
        }
        HirKind::Capture(capture) => text(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(text).collect(),
        HirKind::Alternation(parts) => parts.first().map(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> Selector {
        Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_value_for_every_matcher() {
        let found = selected(&selector(r#"a{b="x",c=~"5..",d!~"other",e=~"GET|PUT",f=~"(a+|b)[^/]*/.+"}"#));
        let wanted = [("b", "x"), ("c", "500"), ("d", "200"), ("e", "GET"), ("f", "a0/0")];
        assert_eq!(found, Ok(labels(&wanted)));
        assert_eq!(
            selected(&selector("a{b=\"x\",b!=\"x\"}")),
            Err("the label b in a{b=\"x\",b!=\"x\"}".to_owned())
        );
    }

    #[test]
    fn good_and_bad_events_differ_in_a_label() {
        let (all, bad) = (selector(r#"a{job="x"}"#), selector(r#"a{job="x",code=~"5..|429"}"#));
        assert_eq!(selected_but_not(&all, &bad), Ok(labels(&[("job", "x"), ("code", "other")])));
        assert_eq!(selected_by_both(&all, &bad), Ok(labels(&[("job", "x"), ("code", "500")])));
        let good = selector(r#"a{code!~"5.."}"#);
        assert_eq!(selected_but_not(&all, &good), Ok(labels(&[("job", "x"), ("code", "500")])));
        assert!(selected_but_not(&bad, &all).is_err(), "every bad event is one of all");
    }
}

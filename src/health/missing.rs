//! Series that are needed and absent, and why: types, and answers → causes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::nearest::{nearest, sorted_by_nearness};
use super::needs::{FOUND, Need, NeedKind};
use crate::profile::HistogramType;
use crate::promql::Selector;

/// How many similar names, values or labels a message names.
const NAMED: usize = 3;
/// Longest name that is told, in bytes.
const LONGEST_NAME: usize = 200;
/// Longest value that is repeated, in characters.
const LONGEST_VALUE: usize = 60;

/// What of a profile's needs is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was looked for.
    pub needs: Vec<Need>,
    /// The first few that are absent.
    pub missing: Vec<Missing>,
    /// How many more are absent.
    pub others: usize,
    /// The first few that are absent and need not be there.
    pub unused: Vec<Missing>,
}

/// A need without series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The need.
    pub need: Need,
    /// Why it has none.
    pub cause: Cause,
}

/// Why a selector selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Prometheus cannot say.
    Unknown,
    /// No metric has this name; these have similar ones.
    Name(Vec<String>),
    /// The histogram is there, of this other type.
    OtherType(HistogramType),
    /// No series of the metric has this label; it has these.
    Label(String, Vec<String>),
    /// This matcher selects nothing; these are values that the label has.
    Value(String, Vec<String>),
    /// It counts observations and has no buckets.
    NoBuckets,
    /// Each matcher selects something, all together nothing.
    Together,
    /// No bucket ends at this threshold; the bounds below and above it.
    Bound(String, Option<String>, Option<String>),
}

/// `/api/v1/query`
#[derive(Deserialize)]
pub(super) struct Vector {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
}

/// The numbers of the alternatives that were found.
pub(super) fn found(vector: &Vector) -> BTreeSet<usize> {
    let numbers = vector.result.iter().filter_map(|sample| sample.metric.get(FOUND));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The absent needs: those that are a fault, and those that are none. A histogram that is absent has no buckets either: of
/// one SLO only the first is told.
pub(super) fn absent<'n>(needs: &'n [Need], found: &BTreeSet<usize>) -> (Vec<&'n Need>, Vec<&'n Need>) {
    let absent = needs.iter().enumerate().filter(|(number, _)| !found.contains(number));
    let (unused, mut missing): (Vec<_>, Vec<_>) =
        absent.map(|(_, need)| need).partition(|need| need.kind == NeedKind::Part);
    missing.dedup_by(|next, first| next.by == first.by && matches!(next.kind, NeedKind::Bound(_)));
    (missing, unused)
}

/// Why no metric of this name is there. `names` are those of the profile's jobs, where they are known.
pub(super) fn of_name(need: &Need, names: Option<&BTreeSet<String>>) -> Cause {
    let Some(names) = names else { return Cause::Unknown };
    let metric = &need.written.metric;
    let families = || names.iter().filter_map(|name| name.strip_suffix("_bucket"));
    let plain = || names.iter().map(String::as_str);
    match need.kind {
        NeedKind::Histogram(HistogramType::Classic) if names.contains(metric) => {
            Cause::OtherType(HistogramType::Native)
        }
        NeedKind::Histogram(HistogramType::Native) if families().any(|name| name == metric) => {
            Cause::OtherType(HistogramType::Classic)
        }
        NeedKind::Histogram(HistogramType::Classic) | NeedKind::Bound(_) => {
            Cause::Name(nearest(metric, families(), NAMED))
        }
        // The parts of a histogram are no names that a profile can have for one.
        NeedKind::Histogram(HistogramType::Native) => {
            let is_part = |name: &str| ["_bucket", "_count", "_sum"].iter().any(|part| name.ends_with(part));
            Cause::Name(nearest(metric, families().chain(plain().filter(|name| !is_part(name))), NAMED))
        }
        NeedKind::Plain if need.forms.len() > 1 => Cause::Name(nearest(metric, families(), NAMED)),
        NeedKind::Plain | NeedKind::Part => Cause::Name(nearest(metric, plain(), NAMED)),
    }
}

/// The selectors that tell which matcher is to blame: the metric alone, then with each of the profile's matchers alone.
pub(super) fn suspects(need: &Need, namespace: &str) -> Vec<Vec<Selector>> {
    let with = |matcher: Option<&(String, &'static str, String)>| {
        let forms = need.forms.iter().map(|form| {
            let metric = Selector::new(&form.metric);
            let metric = match matcher {
                Some((label, operator, value)) => metric.with_matcher(label, operator, value.as_str()),
                None => metric,
            };
            metric.in_namespace(namespace)
        });
        forms.collect()
    };
    [with(None)].into_iter().chain(need.written.matchers.iter().map(|matcher| with(Some(matcher)))).collect()
}

/// A matcher that selects nothing, and what its label has instead.
pub(super) fn of_matcher(
    (label, operator, value): &(String, &'static str, String),
    values: &[String],
    labels: &[String],
) -> Cause {
    if values.is_empty() && !labels.is_empty() {
        let known =
            labels.iter().map(String::as_str).filter(|label| is_name(label) && !is_of_every_series(label));
        return Cause::Label(label.clone(), sorted_by_nearness(label, known, NAMED));
    }
    let matcher = format!("{label}{operator}{}", quoted(value));
    let near = sorted_by_nearness(value, values.iter().map(String::as_str), NAMED);
    Cause::Value(matcher, near.iter().map(|value| quoted(value)).collect())
}

/// True for a name that a profile can have, short enough to be told.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Labels that the scrape sets, and those of the parts of histograms.
fn is_of_every_series(label: &str) -> bool {
    ["__name__", "namespace", "pod", "instance", "job", "le"].contains(&label)
}

fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(LONGEST_VALUE).collect();
    if shown.len() < value.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}

/// A threshold beside the bounds that the buckets have.
pub(super) fn of_threshold(threshold: &str, bounds: &[String]) -> Cause {
    let Ok(wanted) = threshold.parse::<f64>() else { return Cause::Unknown };
    let mut bounds: Vec<_> = bounds
        .iter()
        .filter_map(|bound| bound.parse::<f64>().ok())
        .filter(|bound| bound.is_finite())
        .collect();
    if bounds.is_empty() {
        return Cause::NoBuckets;
    }
    bounds.sort_by(f64::total_cmp);
    let below = bounds.iter().rev().find(|bound| **bound < wanted).map(ToString::to_string);
    let above = bounds.iter().find(|bound| **bound > wanted).map(ToString::to_string);
    Cause::Bound(threshold.to_owned(), below, above)
}

#[cfg(test)]
mod tests;

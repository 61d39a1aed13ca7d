//! In: metric families and exemplars. Out: a page of OpenMetrics 1.0. No network.
//!
//! Written by hand because `prometheus-client`, which has an encoder, makes histogram exemplars only from measurements of
//! its own, and the `prometheus` crate knows no exemplars at all.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};
use super::labels;

/// The page. `exemplars` gives those of the instrument with an exposed name.
pub(super) fn encode(
    families: &[MetricFamily],
    exemplars: impl Fn(&str) -> Option<Arc<Exemplars>>,
) -> String {
    let mut page = String::new();
    for family in families {
        // Only a `Display` can fail in writing to a string, and those below do not.
        let _ = encode_family(&mut page, family, exemplars(family.name()).as_deref());
    }
    page.push_str("# EOF\n");
    page
}

fn encode_family(page: &mut String, family: &MetricFamily, exemplars: Option<&Exemplars>) -> fmt::Result {
    let name = family.name();
    let (kind, family_name) = kind_of(family);
    writeln!(page, "# TYPE {family_name} {kind}")?;
    if !family.help().is_empty() {
        writeln!(page, "# HELP {family_name} {}", Escaped(family.help()))?;
    }
    let exemplars = exemplars.map(Exemplars::by_labels).unwrap_or_default();
    for metric in family.get_metric() {
        let exemplars = match exemplars.is_empty() {
            true => &[],
            false => exemplars.get(&labels::of_series(metric.get_label())).map_or(&[][..], |buckets| buckets),
        };
        match family.get_field_type() {
            MetricType::HISTOGRAM => encode_histogram(page, name, metric, exemplars)?,
            MetricType::COUNTER => {
                let exemplar = exemplars.first().copied().flatten().filter(|_| kind == "counter");
                let value = Number(metric.get_counter().get_value());
                sample(page, (name, ""), metric.get_label(), None, value, exemplar)?;
            }
            _ => sample(
                page,
                (name, ""),
                metric.get_label(),
                None,
                Number(metric.get_gauge().get_value()),
                None,
            )?,
        }
    }
    Ok(())
}

/// The type, and the name of the family: the suffix of its series does not belong to it.
fn kind_of(family: &MetricFamily) -> (&'static str, &str) {
    let name = family.name();
    let stem = |suffix| name.strip_suffix(suffix).filter(|stem: &&str| !stem.is_empty());
    match family.get_field_type() {
        // A counter by another name would have to be renamed; it keeps its name and loses its type.
        MetricType::COUNTER => stem("_total").map_or(("unknown", name), |stem| ("counter", stem)),
        MetricType::HISTOGRAM => ("histogram", name),
        _ if name == "target_info" => ("info", "target"),
        _ => ("gauge", name),
    }
}

fn encode_histogram(
    page: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: &[Option<Exemplar>],
) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let counts =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let finite = counts.filter(|(bound, _)| *bound < f64::INFINITY);
    let buckets = finite.chain([(f64::INFINITY, histogram.get_sample_count())]);
    for (index, (bound, count)) in buckets.enumerate() {
        let exemplar = exemplars.get(index).copied().flatten();
        sample(page, (name, "_bucket"), labels, Some(bound), count, exemplar)?;
    }
    sample(page, (name, "_sum"), labels, None, Number(histogram.get_sample_sum()), None)?;
    sample(page, (name, "_count"), labels, None, histogram.get_sample_count(), None)
}

fn sample(
    page: &mut String,
    (name, suffix): (&str, &str),
    labels: &[LabelPair],
    bound: Option<f64>,
    value: impl fmt::Display,
    exemplar: Option<Exemplar>,
) -> fmt::Result {
    write!(page, "{name}{suffix}")?;
    let mut separator = '{';
    for label in labels {
        write!(page, "{separator}{}=\"{}\"", label.name(), Escaped(label.value()))?;
        separator = ',';
    }
    match bound {
        Some(f64::INFINITY) => write!(page, "{separator}le=\"+Inf\"}}")?,
        Some(bound) => write!(page, "{separator}le=\"{bound:?}\"}}")?, // OpenMetrics wants 1.0 where Prometheus text has 1.
        None if !labels.is_empty() => page.push('}'),
        None => {}
    }
    write!(page, " {value}")?;
    if let Some(Exemplar { trace_id, span_id, value, time }) = exemplar {
        write!(page, " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {value}")?;
        if let Ok(time) = time.duration_since(UNIX_EPOCH) {
            write!(page, " {}.{:03}", time.as_secs(), time.subsec_millis())?;
        }
    }
    writeln!(page)
}

/// A value; its infinities as both formats write them.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

/// A string on one line, between quotation marks if need be.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

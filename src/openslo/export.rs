//! SLOs → OpenSLO v1. In: a validated SLO. Out: one document, with a comment on what is left out. No cluster.

use serde_json::{Value, json};

use super::VERSION;
use crate::plan::slo::bucket;
use crate::profile::HistogramType;
use crate::promql::Selector;
use crate::validate::{Events, Indicator, Slo, ValidatedProfile};
use crate::yaml::{self, YamlError};

/// The SLOs as a stream of documents. First come comments on those that OpenSLO cannot say.
///
/// # Errors
/// When one cannot be written.
pub fn export(slos: &[(&ValidatedProfile, &Slo)]) -> Result<String, YamlError> {
    let (mut left_out, mut documents) = (String::new(), Vec::new());
    for (profile, slo) in slos {
        match ratio(slo) {
            Ok(ratio) => documents.push(document(profile, slo, ratio)?),
            Err(why) => {
                let (namespace, name) = (&profile.namespace, &profile.name);
                left_out.push_str(&format!("# left out: SLO {} of {namespace}/{name}: {why}\n", slo.name));
            }
        }
    }
    Ok(left_out + &documents.join("---\n"))
}

/// One SLO, with comments on what of it is left out.
fn document(
    profile: &ValidatedProfile,
    slo: &Slo,
    (part, selector, total): (&str, Selector, Selector),
) -> Result<String, YamlError> {
    let of = format!("{}/{}", profile.namespace, profile.name);
    let mut comments = vec![format!(
        "SLO {} of {of}, which counts only series with namespace={:?}",
        slo.name, profile.namespace
    )];
    comments.extend(left_out(slo).into_iter().map(|what| format!("left out: {what}")));
    let document = json!({
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": slo.name},
        "spec": {
            "service": profile.service.name,
            "budgetingMethod": "Occurrences",
            "timeWindow": [{"duration": format!("{}d", slo.window_days), "isRolling": true}],
            "objectives": [{"target": slo.objective.ratio().to_f64()}],
            "indicator": {
                "metadata": {"name": slo.name},
                "spec": {"ratioMetric": {
                    "counter": true,
                    (part): metric(slo, &selector),
                    "total": metric(slo, &total),
                }},
            },
        },
    });
    let comments: String = comments.iter().map(|comment| format!("# {comment}\n")).collect();
    Ok(comments + &yaml::to_string(&document)?)
}

/// Good or bad events, and all, as selectors within any namespace; or why they are no two counters.
fn ratio(slo: &Slo) -> Result<(&'static str, Selector, Selector), &'static str> {
    match &slo.indicator {
        Indicator::Ratio { events: Events::Good(good), total } => Ok(("good", good.clone(), total.clone())),
        Indicator::Ratio { events: Events::Bad(bad), total } => Ok(("bad", bad.clone(), total.clone())),
        Indicator::Latency { histogram, threshold, kind: HistogramType::Classic } => {
            let good = bucket(&histogram.with_suffix("_bucket"), threshold);
            Ok(("good", good, histogram.with_suffix("_count")))
        }
        Indicator::Latency { kind: HistogramType::Native, .. } => {
            Err("a native histogram has no counter of the events up to a threshold")
        }
        Indicator::Operation { .. } => {
            Err("an operation is counted by metrics that this operator's collector makes of spans")
        }
        Indicator::Freshness { .. } => {
            Err("freshness counts time, and OpenSLO has no words for the age of a success")
        }
    }
}

fn metric(slo: &Slo, selector: &Selector) -> Value {
    let query = if slo.group_by.is_empty() {
        format!("sum({selector})")
    } else {
        format!("sum by ({}) ({selector})", slo.group_by.join(", "))
    };
    json!({"metricSource": {"type": "Prometheus", "spec": {"query": query}}})
}

/// What of the SLO is not in the document, with its values.
fn left_out(slo: &Slo) -> Vec<String> {
    let mut left_out = Vec::new();
    for (severity, wanted) in [("page", slo.page), ("ticket", slo.ticket)] {
        if !wanted {
            left_out.push(format!("alerting.{severity}: false"));
        }
    }
    left_out.extend(slo.labels.iter().map(|(label, value)| format!("alerting.labels.{label}: {value:?}")));
    left_out.extend(slo.minimum_events.map(|least| format!("alerting.minimumEvents: {least}")));
    left_out.push(format!("alerting.absentAfter: {}", slo.absent_after));
    left_out
}

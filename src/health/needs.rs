//! A validated profile → the series that its SLOs and instruments need. Pure.

use crate::plan::pipeline::{SPAN_METRICS_CALLS, SPAN_METRICS_DURATION};
use crate::plan::slo;
use crate::profile::{HistogramType, InstrumentType};
use crate::promql::Selector;
use crate::validate::{Events, Indicator, Slo, Success, ValidatedProfile};

/// Series that something in the profile needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Who needs them, as messages name it: an SLO and its field, or an instrument.
    pub by: String,
    /// The selector as the profile has it: a histogram without `_bucket`, and without the namespace.
    pub written: Selector,
    /// The same within the profile's namespace, in each form that Prometheus may have: one of them is enough.
    pub forms: Vec<Selector>,
    /// What is peculiar to it.
    pub kind: NeedKind,
}

/// What is peculiar to needed series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedKind {
    /// Nothing.
    Plain,
    /// They are a histogram of this type.
    Histogram(HistogramType),
    /// They are the buckets up to a threshold.
    Bound(String),
    /// They count what may not have happened yet: it is no fault when they are absent.
    Part,
}

/// The needs in the profile's order, those of SLOs first.
#[must_use]
pub fn needs(profile: &ValidatedProfile) -> Vec<Need> {
    let mut needs: Vec<_> = profile.slos.iter().flat_map(|slo| of_slo(profile, slo)).collect();
    for instrument in profile.metrics.iter().flat_map(|metrics| &metrics.instruments) {
        let written = Selector::new(&instrument.name);
        let within = |selector: &Selector| selector.clone().in_namespace(&profile.namespace);
        let forms = match instrument.kind {
            InstrumentType::Histogram => {
                // A summary has no buckets. One bucket is enough, and costs less.
                let classic = written.with_suffix("_bucket").with_matcher("le", "=", "+Inf");
                vec![within(&classic), within(&written)]
            }
            InstrumentType::Counter | InstrumentType::Gauge | InstrumentType::UpDownCounter => {
                vec![within(&written)]
            }
        };
        needs.push(Need { by: "spec.metrics.instruments".to_owned(), written, forms, kind: NeedKind::Plain });
    }
    needs
}

fn of_slo(profile: &ValidatedProfile, slo: &Slo) -> Vec<Need> {
    let need = |field: &str, written: &Selector, form: Selector, kind| Need {
        by: format!("SLO {} ({field})", slo.name),
        written: written.clone(),
        forms: vec![form],
        kind,
    };
    let series = slo::needed_series(profile, slo).into_iter();
    let classic = |field: &str, written: &Selector, threshold: &str| {
        let kinds = [NeedKind::Histogram(HistogramType::Classic), NeedKind::Bound(threshold.to_owned())];
        series.clone().zip(kinds).map(|(form, kind)| need(field, written, form, kind)).collect()
    };
    let plain = |field: &str, written: &Selector, kind: NeedKind| -> Vec<Need> {
        series.clone().map(|form| need(field, written, form, kind.clone())).collect()
    };
    let spans = |metric, name: &str| slo::spans(Selector::new(metric), profile, name);
    match &slo.indicator {
        Indicator::Ratio { events, total } => {
            let (field, part) = match events {
                Events::Good(good) => ("ratio.good", good),
                Events::Bad(bad) => ("ratio.bad", bad),
            };
            let form = part.clone().in_namespace(&profile.namespace);
            let mut needs = plain("ratio.total", total, NeedKind::Plain);
            needs.push(need(field, part, form, NeedKind::Part));
            needs
        }
        Indicator::Latency { histogram, threshold, kind: HistogramType::Classic } => {
            classic("latency", histogram, threshold)
        }
        Indicator::Latency { histogram, kind: HistogramType::Native, .. } => {
            plain("latency", histogram, NeedKind::Histogram(HistogramType::Native))
        }
        Indicator::Operation { name, threshold: None } => {
            plain("operation", &spans(SPAN_METRICS_CALLS, name), NeedKind::Plain)
        }
        Indicator::Operation { name, threshold: Some(threshold) } => {
            classic("operation", &spans(SPAN_METRICS_DURATION, name), threshold)
        }
        Indicator::Freshness { success: Success::Counter(counter), .. } => {
            plain("freshness.counter", counter, NeedKind::Plain)
        }
        Indicator::Freshness { success: Success::Timestamp(gauge), .. } => {
            plain("freshness.timestamp", gauge, NeedKind::Plain)
        }
    }
}

/// One query for all of these: each alternative gives one sample, with the label `found` and the alternative's number, when
/// one of its selectors selects something.
pub(super) fn found_query<'a>(alternatives: impl Iterator<Item = &'a [Selector]>) -> String {
    let count = |selector: &Selector| format!("count({selector})");
    let counts = |selectors: &[Selector]| selectors.iter().map(count).collect::<Vec<_>>().join(" or ");
    let one = |(number, selectors)| {
        format!("label_replace({}, \"{FOUND}\", \"{number}\", \"\", \"\")", counts(selectors))
    };
    alternatives.enumerate().map(one).collect::<Vec<_>>().join(" or ")
}

/// The label that says which alternative was found.
pub(super) const FOUND: &str = "found";

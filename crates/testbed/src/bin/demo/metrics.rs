//! What the managed Prometheus knows while all is well. In: the stack. Out: text. It talks to Prometheus.

use anyhow::Result;
use testbed::prometheus::{self, Sample};
use testbed::{Forward, Stack};

use crate::profiles::{EXPORTER, Profile};
use crate::show::{line, title, wait};

/// What is asked, and what it is.
const QUESTIONS: [(&str, &str); 4] = [
    ("the targets", "max by (job, instance) (up)"),
    ("what the application counts", "sum by (type, outcome) (trakt_exports_total) > 0"),
    ("its calls", "sum by (endpoint, outcome) (trakt_api_duration_seconds_count)"),
    ("what the collector makes of the spans", "sum by (span_name) (traces_span_metrics_calls_total) > 0"),
];

/// Targets and metrics of the application.
pub fn show(stack: &Stack) -> Result<()> {
    let prometheus = of(stack, &EXPORTER)?;
    for (what, question) in QUESTIONS {
        let found = wait(what, || {
            let found = prometheus::query(&prometheus.url(), question)?;
            Ok((!found.is_empty()).then_some(found))
        })?;
        title(&format!("{what}: {question}"));
        found.iter().for_each(show_sample);
    }
    Ok(())
}

/// The managed Prometheus of a profile.
pub fn of(stack: &Stack, profile: &Profile) -> Result<Forward> {
    stack.prometheus(profile.namespace, profile.name)
}

fn show_sample(sample: &Sample) {
    let labels = sample.labels.iter().filter(|(name, _)| *name != "__name__");
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    line(&format!("{:>8}  {}", sample.value, labels.join(" ")));
}

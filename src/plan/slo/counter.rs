//! How much a counter has grown between two evaluations of a rule, exactly. In: selectors. Out: PromQL. No cluster.
//!
//! `rate()` and `increase()` estimate: they extrapolate from the samples in a window to its edges, never see a counter's first
//! value, and cap what they add while a counter is young. Here each evaluation takes the difference between the latest
//! sample and the one that the evaluation before took, so that the differences of any window add up to exactly what was
//! counted in it:
//!
//! - A lower value than before is a restart: all of it is new.
//! - A series that was not there before counts from its first value on, if its target has another series that goes on (the
//!   first error of a running process). On a new target, or where all labels have changed, it does not: what a process
//!   counted before anybody looked is not an event of now.
//! - Samples are taken as they were 15 s ago: one whose scrape is still under way would fall between two evaluations.
//! - What is counted in a gap of up to three hours (Prometheus or the target was away) is added when it ends, also what a series
//!   counted that came into being in the gap.

use crate::promql::Selector;

/// Seconds that a sample may arrive late: more than the usual scrape timeout of 10 s.
pub const LATENESS: u32 = 15;
/// How far back the sample before may lie, of the series or of another one of its target.
const MEMORY: &str = "3h";

/// How the samples of a series count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// As a number.
    Float,
    /// As a native histogram, whose differences are histograms, too.
    Histogram,
}

/// The growth of each series since the evaluation before, `interval` seconds ago. `total` counts all events: its series
/// tell whether a target goes on.
pub fn increase(series: &Selector, total: &Selector, sample: Sample, interval: u32) -> String {
    let before = LATENESS + interval;
    let (now, then) = (latest(series, interval), at(series, MEMORY, before));
    let not_restarted = match sample {
        Sample::Float => format!("{then} <= {now}"),
        Sample::Histogram => format!("{then} and histogram_count({then}) <= histogram_count({now})"),
    };
    let goes_on = format!("{} and {}", latest(total, interval), at(total, MEMORY, before));
    format!("{now} - ({not_restarted} or 0 * {now}) and ({then} or {now} and on (job, instance) ({goes_on}))")
}

/// The latest sample since the evaluation before.
pub fn latest(series: &Selector, interval: u32) -> String {
    at(series, &format!("{interval}s"), LATENESS)
}

fn at(series: &Selector, range: &str, offset: u32) -> String {
    format!("last_over_time({series}[{range}] offset {offset}s)")
}

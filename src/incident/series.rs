//! The series of an incident, as promtool reads them. In: what an SLO counts, and how many events of which kind there were at
//! each sample. Out: series with their values. No cluster.

use serde::Serialize;

use super::labels::{Labels, selected, selected_but_not, selected_by_both};
use super::{Incident, IncidentError};
use crate::plan::scrape::application_job;
use crate::plan::slo::{BAD_EVENTS, EVENTS, Measure, identity, measure};
use crate::promql::Selector;
use crate::validate::{Indicator, Slo, Success, ValidatedProfile, seconds};

/// Seconds of good traffic, about, for which one sample of the records stands.
const LUMP: u32 = 300;
/// Seconds of the good traffic before the incident that are played as counters: the long window of every page.
const COUNTED: u32 = 6 * 3600;

/// A series and its values, the first at the time 0.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Series {
    pub series: String,
    pub values: String,
}

/// When what happens, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// From one sample to the next.
    pub scrape: u32,
    /// From one evaluation to the next.
    pub evaluation: u32,
    /// Until the incident.
    pub quiet: u32,
    /// How long the incident lasts.
    pub incident: u32,
    /// Until the end of the play.
    pub end: u32,
}

impl Times {
    /// From when on the traffic is counted. Before, its records are given, so that promtool need not reckon for minutes.
    const fn counted(self) -> u32 {
        self.quiet.saturating_sub(COUNTED) / self.scrape * self.scrape
    }

    /// Seconds of the incident that are over at a time.
    fn bad_seconds(self, time: u32) -> u32 {
        time.saturating_sub(self.quiet).min(self.incident)
    }
}

/// All series of an incident.
pub(super) fn series(
    profile: &ValidatedProfile,
    slo: &Slo,
    incident: &Incident,
    times: Times,
) -> Result<Vec<Series>, IncidentError> {
    let measured = match measure(profile, slo) {
        Measure::Counters { total, part, part_is_good } => {
            counters(&total, &part, part_is_good, incident, times)
        }
        Measure::Native { histogram, threshold } => native(&histogram, &threshold, incident, times),
        Measure::Freshness { .. } => job(profile, slo, times),
    };
    let mut measured = measured.map_err(IncidentError::NoValue)?;
    let group = group(slo, &measured)?;
    for (_, labels, _) in &mut measured {
        labels.extend(group.clone());
        for (label, value) in [("job", application_job(profile)), ("instance", "played".to_owned())] {
            labels.entry(label.to_owned()).or_insert(value);
        }
    }
    let mut series: Vec<_> = measured
        .into_iter()
        .map(|(selector, labels, samples)| Series::new(&selector.metric, &labels, &samples))
        .collect();
    series.extend(records(profile, slo, group, lumps(slo, incident, times)));
    Ok(series)
}

/// The one group that is played, where the SLO is split: good and bad events must be of the same one.
fn group(slo: &Slo, measured: &[(Selector, Labels, Samples)]) -> Result<Labels, IncidentError> {
    let value = |label: &String| {
        let mut values: Vec<_> = measured.iter().filter_map(|(_, labels, _)| labels.get(label)).collect();
        values.dedup();
        match values[..] {
            [] => Ok((label.clone(), "played".to_owned())),
            [value] => Ok((label.clone(), value.clone())),
            _ => Err(IncidentError::NoValue(format!(
                "the label {label}, which tells good events from bad ones"
            ))),
        }
    };
    slo.group_by.iter().map(value).collect()
}

/// Values, each with its time in seconds.
type Samples = Vec<(u32, String)>;
/// Series and what they are selected by; or what has no value.
type Measured = Result<Vec<(Selector, Labels, Samples)>, String>;

/// Good and bad events up to each sample, by `value`. Both are whole numbers that never fall.
fn events(incident: &Incident, times: Times, value: impl Fn(u64, u64) -> String) -> Samples {
    let at = |time: u32| {
        let bad_time = f64::from(times.bad_seconds(time)) * incident.bad_percent / 100.0;
        let good_time = f64::from(time - times.counted()) - bad_time;
        // A hair, so that what is a whole number is not rounded down.
        let events = |time: f64| (time * incident.events_per_second + 1e-6).floor() as u64;
        (time, value(events(good_time), events(bad_time)))
    };
    (times.counted()..=times.end).step_by(times.scrape as usize).map(at).collect()
}

fn counters(
    total: &Selector,
    part: &Selector,
    part_is_good: bool,
    incident: &Incident,
    times: Times,
) -> Measured {
    let good = events(incident, times, |good, _| good.to_string());
    let bad = events(incident, times, |_, bad| bad.to_string());
    let (of_part, of_others) = if part_is_good { (good, bad) } else { (bad, good) };
    if total.metric == part.metric {
        return Ok(vec![
            (part.clone(), selected_by_both(total, part)?, of_part),
            (total.clone(), selected_but_not(total, part)?, of_others),
        ]);
    }
    let all = events(incident, times, |good, bad| (good + bad).to_string());
    Ok(vec![(part.clone(), selected(part)?, of_part), (total.clone(), selected(total)?, all)])
}

/// Good events in a bucket that ends at the threshold or below it, bad ones in a bucket that begins there or above.
fn native(histogram: &Selector, threshold: &str, incident: &Incident, times: Times) -> Measured {
    let exponent = threshold.parse::<f64>().unwrap_or(1.0).log2();
    let (good_bucket, bad_bucket) = (exponent.floor() as i32, exponent.ceil() as i32 + 1);
    let between = "0 ".repeat(usize::try_from(bad_bucket - good_bucket - 1).unwrap_or_default());
    let values = events(incident, times, |good, bad| {
        let sum = good as f64 * exponent.exp2() / 2.0 + bad as f64 * exponent.exp2() * 2.0;
        format!(
            "{{{{schema:0 sum:{sum} count:{count} buckets:[{good} {between}{bad}] offset:{good_bucket}}}}}",
            count = good + bad
        )
    });
    Ok(vec![(histogram.clone(), selected(histogram)?, values)])
}

/// A job that succeeds all the time, pauses so long that its last success is too old for as long as the incident lasts, and
/// goes on.
fn job(profile: &ValidatedProfile, slo: &Slo, times: Times) -> Measured {
    let Indicator::Freshness { success, max_age } = &slo.indicator else {
        return Ok(Vec::new());
    };
    let resumed = times.quiet + times.incident;
    let stopped = times.quiet.saturating_sub(seconds(max_age).unwrap_or_default());
    let (mut runs, mut last) = (0_u32, 0);
    let successes = (0..=times.end).step_by(times.scrape as usize).map(|time| {
        if time <= stopped || time >= resumed {
            (runs, last) = (runs + 1, time);
        }
        let value = if matches!(success, Success::Counter(_)) { runs } else { last };
        (time, value.to_string())
    });
    let (Success::Counter(selector) | Success::Timestamp(selector)) = success;
    let selector = selector.clone().in_namespace(&profile.namespace);
    Ok(vec![(selector.clone(), selected(&selector)?, successes.collect())])
}

/// Good events of the time that is not played, each number with its time: the rest of the period in one, then minutes.
fn lumps(slo: &Slo, incident: &Incident, times: Times) -> Vec<(u32, f64)> {
    let rest = f64::from((slo.window_days * 86_400).saturating_sub(times.end));
    if let Indicator::Freshness { .. } = slo.indicator {
        // Of time each evaluation counts one, and all of it is played.
        return vec![(0, rest / f64::from(times.evaluation))];
    }
    let step = LUMP / times.evaluation * times.evaluation;
    let counted = times.counted();
    let minutes = (step..counted).step_by(step as usize).map(|time| (time, step.min(counted - time)));
    let first = f64::from(step.min(counted));
    std::iter::once((0, rest + first))
        .chain(minutes.map(|(time, seconds)| (time, f64::from(seconds))))
        .map(|(time, seconds)| (time, seconds * incident.events_per_second))
        .collect()
}

/// Records of good events: each stands a second after an evaluation, and is gone before the next one.
fn records(profile: &ValidatedProfile, slo: &Slo, group: Labels, lumps: Vec<(u32, f64)>) -> Vec<Series> {
    let mut labels = identity(profile, slo);
    labels.extend(group);
    [(EVENTS, 1.0), (BAD_EVENTS, 0.0)]
        .into_iter()
        .map(|(record, share)| {
            let sample = |&(time, events): &(u32, f64)| {
                [(time + 1, (events * share).to_string()), (time + 2, "stale".to_owned())]
            };
            Series::new(record, &labels, &lumps.iter().flat_map(sample).collect::<Vec<_>>())
        })
        .collect()
}

impl Series {
    /// A value for each second, most of them none.
    fn new(metric: &str, labels: &Labels, samples: &[(u32, String)]) -> Self {
        let there = labels.iter().filter(|(_, value)| !value.is_empty());
        let series = there.fold(Selector::new(metric), |selector, (label, value)| {
            selector.with_matcher(label, "=", value.as_str())
        });
        let (mut values, mut next) = (String::new(), 0);
        for (time, value) in samples {
            if *time > next {
                values.push_str(&format!("_x{} ", time - next));
            }
            values.push_str(value);
            values.push(' ');
            next = time + 1;
        }
        Self { series: series.to_string(), values }
    }
}

//! What promtool printed → when each alert fired and stopped, and whether that was in time. Pure, no cluster.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::Serialize;

use super::{IncidentError, Play};
use crate::burn_rate::Tier;
use crate::plan::slo::{ALERT, wanted_tiers};
use crate::slo_report::{Delay, count, counts_time, duration, fewest_bad_events, judged_seconds};

/// What came of an incident. Times are seconds from its beginning.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Namespace of the profile.
    pub namespace: String,
    /// Name of the profile.
    pub profile: String,
    /// Name of the SLO.
    pub slo: String,
    /// How long there was good traffic before.
    pub quiet_seconds: u32,
    /// How long the incident lasted.
    pub incident_seconds: u32,
    /// Its share of bad events in percent.
    pub bad_percent: f64,
    /// Events in a second; none where time is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// Each tier that has an alert.
    pub tiers: Vec<TierOutcome>,
    /// Other alerts that fired.
    pub others: Vec<String>,
    /// Share of the period's budget in percent before the incident.
    pub budget_before_percent: f64,
    /// The same at the end.
    pub budget_after_percent: f64,
}

/// When a tier's alert fired.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierOutcome {
    /// Its name.
    pub tier: &'static str,
    /// Severity of its alert.
    pub severity: &'static str,
    /// When it fired; none when it did not.
    pub fired: Option<f64>,
    /// When it stopped; none when it did not fire, or to the end.
    pub stopped: Option<f64>,
    /// True when it paused in between.
    pub paused: bool,
    /// By when it shall have fired, as computed; none when it never does at this share of bad events.
    pub computed: Option<f64>,
    /// By when it shall have stopped, as computed; none where that is not known.
    pub computed_stop: Option<f64>,
    /// What is not as computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

/// Values by alert and tier.
type Answer = BTreeMap<(String, String), f64>;

/// Reads promtool's answers to the five questions.
pub(super) fn read(play: &Play, printed: &str) -> Result<Outcome, IncidentError> {
    let failed = || IncidentError::Promtool(printed.trim().to_owned());
    let got = printed.lines().filter_map(|line| line.trim_start().strip_prefix("got: "));
    let answers: Vec<_> = got.map(answer).collect::<Option<_>>().ok_or_else(failed)?;
    let [first, last, evaluations, before, after] = &answers[..] else {
        return Err(failed());
    };
    let budget = |answer: &Answer| answer.values().next().copied().map(|share| share * 100.0);
    let since = |answer: &Answer, tier: &Tier| {
        let key = (ALERT.to_owned(), tier.name.to_owned());
        answer.get(&key).map(|time| time - f64::from(play.times.quiet))
    };
    let tiers = wanted_tiers(play.slo).into_iter().map(|tier| {
        let fired = since(first, &tier).zip(since(last, &tier));
        let key = (ALERT.to_owned(), tier.name.to_owned());
        judge(play, &tier, fired, evaluations.get(&key).copied().unwrap_or_default())
    });
    let others = first.keys().filter(|(alert, _)| alert != ALERT).map(|(alert, _)| alert.clone());
    Ok(Outcome {
        namespace: play.profile.namespace.clone(),
        profile: play.profile.name.clone(),
        slo: play.slo.name.clone(),
        quiet_seconds: play.times.quiet,
        incident_seconds: play.times.incident,
        bad_percent: play.incident.bad_percent,
        events_per_second: (!counts_time(play.slo)).then_some(play.incident.events_per_second),
        tiers: tiers.collect(),
        others: others.collect(),
        budget_before_percent: budget(before).ok_or_else(failed)?,
        budget_after_percent: budget(after).ok_or_else(failed)?,
    })
}

/// One answer: `nil`, or samples with their labels.
fn answer(text: &str) -> Option<Answer> {
    let sample =
        Regex::new(r#"\{(?:alertname="(\w+)")?(?:, slo_tier="(\w+)")?\} ([-+0-9.E]+)(?:, |$)"#).ok()?;
    let mut rest = text;
    let mut samples = Answer::new();
    while let Some(found) = sample.captures(rest).filter(|_| text != "nil") {
        let label = |index| found.get(index).map_or_else(String::new, |label| label.as_str().to_owned());
        samples.insert((label(1), label(2)), found[3].parse().ok()?);
        rest = &rest[found.get(0)?.end()..];
    }
    (rest.is_empty() || text == "nil").then_some(samples)
}

/// Compares when a tier fired with when it shall.
fn judge(play: &Play, tier: &Tier, fired: Option<(f64, f64)>, evaluations: f64) -> TierOutcome {
    let delay = f64::from(Delay::of(play.profile).seconds());
    let interval = f64::from(play.times.evaluation);
    let (length, end) = (f64::from(play.times.incident), f64::from(play.times.end - play.times.quiet));
    let needed = needed(play, tier);
    let computed = needed.map(|seconds| seconds + delay);
    let stops = fired.map(|(_, last)| last + interval).filter(|stopped| *stopped < end);
    // A wider window in place of the short one forgets later.
    let short = judged_seconds(play.slo, tier.short, play.incident.events_per_second);
    let computed_stop = (short == Some(tier.short_seconds())).then(|| {
        let share = play.incident.bad_percent / 100.0;
        length + tier.time_to_reset(play.slo.objective, share) + delay + one_event(play)
    });
    let finding = match (fired.map(|(first, _)| first), needed) {
        (Some(first), _) if first < 0.0 => Some("it fired in good traffic".to_owned()),
        (Some(_), None) => Some("it fired although this share of bad events is too low for it".to_owned()),
        (Some(first), Some(needed)) if first > needed + delay => Some("it fired too late".to_owned()),
        // Before the incident its windows are given in steps of minutes: it may fire one in a hundred early.
        (Some(_), Some(needed)) if needed * 0.99 > length + delay => {
            Some("it fired although the incident was too short for it".to_owned())
        }
        (None, Some(needed)) if needed + delay <= length => Some("it did not fire".to_owned()),
        _ => match (fired, stops, computed_stop) {
            (Some(_), None, Some(_)) => Some("it did not stop".to_owned()),
            (Some(_), Some(stopped), Some(computed)) if stopped > computed => {
                Some("it stopped too late".to_owned())
            }
            _ => None,
        },
    };
    TierOutcome {
        tier: tier.name,
        severity: tier.severity.as_str(),
        fired: fired.map(|(first, _)| first),
        stopped: stops,
        paused: fired.is_some_and(|(first, last)| evaluations < (last - first) / interval + 0.5),
        computed,
        computed_stop: computed_stop.filter(|_| fired.is_some()),
        finding,
    }
}

/// Seconds of the incident that it takes; none when it never fires.
fn needed(play: &Play, tier: &Tier) -> Option<f64> {
    let share = play.incident.bad_percent / 100.0;
    let seconds = tier.time_to_detect(play.slo.objective, share)?;
    if counts_time(play.slo) {
        return Some(seconds);
    }
    let rate = play.incident.events_per_second;
    Some(seconds.max(fewest_bad_events(play.slo, tier, rate) as f64 / (rate * share)))
}

/// Seconds from one bad event to the next.
fn one_event(play: &Play) -> f64 {
    if counts_time(play.slo) {
        0.0
    } else {
        100.0 / play.incident.bad_percent / play.incident.events_per_second
    }
}

impl Outcome {
    /// True when something was not as computed.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        !self.others.is_empty() || self.tiers.iter().any(|tier| tier.finding.is_some())
    }

    /// Lines of what happened, by time.
    fn time_line(&self) -> Vec<(f64, String)> {
        let length = f64::from(self.incident_seconds);
        let mut lines =
            vec![(0.0, "the incident begins".to_owned()), (length, "the incident ends".to_owned())];
        for TierOutcome { tier, severity, fired, stopped, computed, computed_stop, paused, .. } in &self.tiers
        {
            let limit = |limit: Option<f64>, from: f64| {
                limit.map_or_else(String::new, |limit| {
                    format!(", computed: at most {}", duration(limit - from))
                })
            };
            if let Some(fired) = fired {
                lines.push((*fired, format!("{tier} fires ({severity}{})", limit(*computed, 0.0))));
            }
            if let Some(stopped) = stopped {
                let when = if *stopped < length {
                    "before the end".to_owned()
                } else {
                    format!("{} after the end", duration(stopped - length))
                };
                let paused = if *paused { ", after pauses" } else { "" };
                let limit = limit(*computed_stop, length);
                lines.push((*stopped, format!("{tier} stops{paused} ({when}{limit})")));
            }
        }
        lines.sort_by(|one, other| one.0.total_cmp(&other.0));
        lines
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, profile, slo, .. } = self;
        let length = duration(self.incident_seconds.into());
        let bad = match self.events_per_second {
            Some(rate) => format!("{} % of {} events/s are bad for {length}", self.bad_percent, count(rate)),
            None => format!("the last success is too old for {length}"),
        };
        let quiet = duration(self.quiet_seconds.into());
        writeln!(
            f,
            "SLO {slo} of {namespace}/{profile}, played by promtool: after {quiet} without a fault {bad}\n"
        )?;
        for (time, what) in self.time_line() {
            let sign = if time < 0.0 { "-" } else { "" };
            writeln!(f, "  {:>12}  {what}", format!("{sign}{}", duration(time.abs())))?;
        }
        for TierOutcome { tier, computed, fired, .. } in &self.tiers {
            match (fired, computed) {
                (Some(_), _) => {}
                (None, None) => writeln!(f, "  {:>12}  {tier}: never at this share of bad events", "-")?,
                (None, Some(computed)) => {
                    writeln!(
                        f,
                        "  {:>12}  {tier}: not within {length}, computed: at most {}",
                        "-",
                        duration(*computed)
                    )?;
                }
            }
        }
        writeln!(
            f,
            "\nbudget of the period: {:.1} % before, {:.1} % after",
            self.budget_before_percent, self.budget_after_percent
        )?;
        for TierOutcome { tier, finding, .. } in &self.tiers {
            finding.iter().try_for_each(|finding| writeln!(f, "not as computed: {tier}: {finding}"))?;
        }
        self.others.iter().try_for_each(|alert| writeln!(f, "not as computed: {alert} fired"))?;
        if self.is_finding() { Ok(()) } else { writeln!(f, "every alert is as computed") }
    }
}

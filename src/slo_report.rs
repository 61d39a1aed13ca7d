//! What an SLO means in numbers: (profile, SLO, traffic) → [`SloReport`], which prints itself in plain words. Pure, no cluster.
//!
//! Times come from the definitions of the tiers ([`crate::burn_rate`]), and on top of them comes what measuring takes: one
//! scrape, one evaluation, and the time that samples are given to arrive.

mod text;
mod words;

use serde::Serialize;

use crate::burn_rate::{Tier, all_tiers, days, tiers};
use crate::plan::slo::{BURN_RATES, LATENESS, evaluation_seconds, wanted_tiers};
use crate::validate::{Indicator, Slo, ValidatedProfile, seconds};
pub use words::{count, duration};

/// Shares of bad events in percent for which the time to detect is told.
pub const BAD_PERCENT: [f64; 7] = [100.0, 50.0, 10.0, 5.0, 1.0, 0.5, 0.1];
/// The longest period, in which no tier is left out.
const LONGEST_PERIOD: u32 = 90;
/// Seconds of the longest window.
pub(crate) const LONGEST_WINDOW: u32 = 3 * 86_400;

/// How many events there are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Events of the SLO in a second; of one group, where it is split.
    pub events_per_second: f64,
    /// Who says so.
    pub source: String,
}

/// What an SLO means.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SloReport {
    /// Namespace of the profile.
    pub namespace: String,
    /// Name of the profile.
    pub profile: String,
    /// Name of the SLO.
    pub slo: String,
    /// What is measured, in words.
    pub measures: String,
    /// True when time is counted, not events.
    pub counts_time: bool,
    /// Labels by which it is split.
    pub group_by: Vec<String>,
    /// Share of good events in percent.
    pub objective: String,
    /// Days of the period.
    pub window_days: u32,
    /// How much may go wrong.
    pub budget: Budget,
    /// The events that the numbers are for; none where nobody said, or time is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// The fewest events from which a window is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_events: Option<u32>,
    /// How long the metric may be absent.
    pub absent_after: String,
    /// What measuring adds to each time.
    pub delay: Delay,
    /// The tiers that have an alert.
    pub tiers: Vec<TierReport>,
    /// The tiers that have none.
    pub left_out: Vec<LeftOut>,
    /// What to think about.
    pub hints: Vec<String>,
}

/// How much may go wrong in the period.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// As a percentage.
    pub percent: String,
    /// As seconds in which every event is bad, with even traffic.
    pub outage_seconds: f64,
    /// Events in the period, where the traffic is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<f64>,
    /// Bad events that the period bears, where the traffic is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_events: Option<f64>,
}

/// Seconds from an event to the alert that knows of it, at most.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// Until the next scrape.
    pub scrape: u32,
    /// Until the next evaluation.
    pub evaluation: u32,
    /// For samples that arrive late.
    pub lateness: u32,
}

impl Delay {
    /// The delay of a profile's rules.
    #[must_use]
    pub fn of(profile: &ValidatedProfile) -> Self {
        let evaluation = evaluation_seconds(profile);
        let scrape = profile.metrics.as_ref().map_or(evaluation, |metrics| metrics.interval_seconds);
        Self { scrape, evaluation, lateness: LATENESS }
    }

    /// All of it.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.scrape + self.evaluation + self.lateness
    }
}

/// What a tier means.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierReport {
    /// Its name.
    pub tier: &'static str,
    /// Severity of its alert.
    pub severity: &'static str,
    /// Its long window.
    pub long_window: &'static str,
    /// Its short window.
    pub short_window: &'static str,
    /// The burn rate above which it fires.
    pub factor: String,
    /// The same as a share of bad events in percent.
    pub error_percent: String,
    /// The share of the budget in percent that is spent when it fires.
    pub budget_percent: String,
    /// The same in a sentence.
    pub threshold: String,
    /// For how long the SLO must have been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_for: Option<&'static str>,
    /// When it fires.
    pub detection: Vec<Detection>,
    /// Seconds after the end of a full outage until it stops, at most.
    pub reset_seconds: f64,
    /// The fewest bad events that make it fire, where the traffic is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_bad_events: Option<u64>,
}

/// When a tier fires.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detection {
    /// At this share of bad events in percent, after a good time.
    pub bad_percent: f64,
    /// Seconds after which it has fired; none when it never does.
    pub seconds: Option<f64>,
}

/// A tier without an alert.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Its name.
    pub tier: &'static str,
    /// Why it has none.
    pub reason: String,
}

/// Explains one SLO. The traffic is not asked where the SLO counts time.
#[must_use]
pub fn report(profile: &ValidatedProfile, slo: &Slo, traffic: Option<Traffic>) -> SloReport {
    let counts_time = counts_time(slo);
    let traffic = traffic.filter(|_| !counts_time);
    let period = f64::from(slo.window_days) * 86_400.0;
    let budget_share = slo.objective.budget_ratio().to_f64();
    let events = traffic.as_ref().map(|traffic| traffic.events_per_second * period);
    let delay = Delay::of(profile);
    let tiers: Vec<_> =
        wanted_tiers(slo).iter().map(|tier| tier_report(slo, tier, delay, traffic.as_ref())).collect();
    SloReport {
        namespace: profile.namespace.clone(),
        profile: profile.name.clone(),
        slo: slo.name.clone(),
        measures: words::measures(profile, slo),
        counts_time,
        group_by: slo.group_by.clone(),
        objective: slo.objective.percent().to_string(),
        window_days: slo.window_days,
        budget: Budget {
            percent: slo.objective.budget_percent().to_string(),
            outage_seconds: period * budget_share,
            events,
            bad_events: events.map(|events| events * budget_share),
        },
        minimum_events: slo.minimum_events.filter(|_| !counts_time),
        absent_after: slo.absent_after.clone(),
        delay,
        left_out: left_out(slo),
        hints: hints(slo, &tiers, traffic.as_ref()),
        tiers,
        traffic,
    }
}

/// True when the SLO counts time in which a job's last success is recent.
#[must_use]
pub const fn counts_time(slo: &Slo) -> bool {
    matches!(slo.indicator, Indicator::Freshness { .. })
}

fn tier_report(slo: &Slo, tier: &Tier, delay: Delay, traffic: Option<&Traffic>) -> TierReport {
    let measuring = f64::from(delay.seconds());
    let shares = if counts_time(slo) { &BAD_PERCENT[..1] } else { &BAD_PERCENT[..] };
    let detection = shares.iter().map(|&bad_percent| Detection {
        bad_percent,
        seconds: tier.time_to_detect(slo.objective, bad_percent / 100.0).map(|seconds| seconds + measuring),
    });
    TierReport {
        tier: tier.name,
        severity: tier.severity.as_str(),
        long_window: tier.long,
        short_window: tier.short,
        factor: tier.factor(),
        error_percent: tier.error_percent(slo.objective).to_string(),
        budget_percent: tier.budget_share(slo.window_days).to_string(),
        threshold: words::threshold(slo, tier),
        measured_for: tier.known_for,
        detection: detection.collect(),
        reset_seconds: tier.time_to_reset(slo.objective, 1.0) + measuring,
        fewest_bad_events: traffic.map(|traffic| fewest_bad_events(slo, tier, traffic.events_per_second)),
    }
}

/// So many bad events, all of them in the short window, and nothing but good ones in the rest of the long one.
pub(crate) fn fewest_bad_events(slo: &Slo, tier: &Tier, events_per_second: f64) -> u64 {
    let fewest = |length: &str| {
        let judged = judged_seconds(slo, length, events_per_second);
        let events = f64::from(judged.unwrap_or(LONGEST_WINDOW)) * events_per_second;
        let above_the_limit = (tier.error_share(slo.objective) * events).floor() as u64 + 1;
        if judged.is_some() { above_the_limit } else { above_the_limit.max(2) }
    };
    fewest(tier.long).max(fewest(tier.short))
}

/// The length of the window that is judged in place of this one at this traffic: the first that holds enough events; none when
/// not even the longest does.
pub(crate) fn judged_seconds(slo: &Slo, length: &str, events_per_second: f64) -> Option<u32> {
    let find = |length: &str| BURN_RATES.iter().find(|window| window.length == length);
    let mut window = find(length);
    while let Some(narrow) = window {
        let holds_enough = |seconds: &u32| {
            let events = f64::from(*seconds) * events_per_second;
            narrow.at_least(slo).is_none_or(|least| events >= f64::from(least))
        };
        if let Some(found) = narrow.lengths().filter_map(seconds).find(holds_enough) {
            return Some(found);
        }
        window = narrow.wider.and_then(find);
    }
    None
}

fn left_out(slo: &Slo) -> Vec<LeftOut> {
    let of_period = all_tiers(slo.window_days);
    let can_fire = tiers(slo.objective, slo.window_days);
    let wanted = wanted_tiers(slo);
    let has = |tiers: &[Tier], name: &str| tiers.iter().any(|tier| tier.name == name);
    let reason = |tier: Tier| {
        let name = tier.name;
        let reason = if has(&wanted, name) {
            return None;
        } else if has(&can_fire, name) {
            format!("alerting.{} is false", tier.severity.as_str())
        } else if let Some(tier) = of_period.iter().find(|tier| tier.name == name) {
            format!(
                "cannot fire: when every event is bad the burn rate is {}, and it takes more than {}",
                slo.objective.outage_burn_rate(),
                tier.factor()
            )
        } else {
            let (long, period) = (words::window(tier.long), days(slo.window_days));
            format!("looks at {long}, and the period is only {period}")
        };
        Some(LeftOut { tier: name, reason })
    };
    all_tiers(LONGEST_PERIOD).into_iter().filter_map(reason).collect()
}

fn hints(slo: &Slo, tiers: &[TierReport], traffic: Option<&Traffic>) -> Vec<String> {
    let single = |tier: &&TierReport| tier.fewest_bad_events == Some(1);
    let hasty: Vec<_> = tiers.iter().filter(single).map(|tier| tier.tier).collect();
    let limits = wanted_tiers(slo);
    let limit = limits
        .iter()
        .filter(|tier| hasty.contains(&tier.name))
        .map(|tier| tier.error_share(slo.objective))
        .fold(f64::INFINITY, f64::min);
    let Some(traffic) = traffic.filter(|_| limit.is_finite()) else {
        return Vec::new();
    };
    vec![format!(
        "one bad event alone fires {tiers}, because {rate} events/s are few: set alerting.minimumEvents to {least} or more, and \
         it takes two",
        tiers = hasty.join(" and "),
        rate = traffic.events_per_second,
        least = (1.0 / limit).ceil().clamp(2.0, 1e6),
    )]
}

#[cfg(test)]
mod tests;

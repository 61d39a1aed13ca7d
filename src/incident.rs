//! An incident, played against an SLO's rules by promtool: (profile, SLO, incident) → promtool's files ([`Play`]), and what it
//! printed → [`Outcome`]. Pure, no cluster; whoever calls runs promtool.
//!
//! First comes good traffic, for as long as the longest window of an alert looks back, then the incident, then good traffic
//! until every alert can have stopped. The times in the outcome are promtool's. It is made to tell them by expectations that
//! nothing can meet: it prints what it got instead.
//!
//! Of the good traffic the last six hours are counters, as an application exposes them. What was before is given as samples
//! of the SLO's own records, one for some minutes, and one for the rest of the period: promtool takes half a minute for
//! three days of evaluations that have to read every one of them again.

mod labels;
mod outcome;
mod series;

use serde_json::{Value, json};

use crate::plan::PlanError;
use crate::plan::slo::{BUDGET_REMAINING, rule_file, wanted_tiers};
use crate::slo_report::{Delay, LONGEST_WINDOW, counts_time, judged_seconds};
use crate::validate::{Indicator, Slo, ValidatedProfile, seconds};
pub use outcome::{Outcome, TierOutcome};
use series::{Times, series};

/// Name of the file with the rules, next to the test.
pub const RULES: &str = "rules.yaml";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// The share of bad events in percent, above 0. Of freshness every moment is bad.
    pub bad_percent: f64,
    /// For how long, in seconds. For freshness: for how long the last success is too old.
    pub seconds: u32,
    /// Events in a second, before, during and after it. Freshness has none.
    pub events_per_second: f64,
}

/// Why an incident cannot be played, or has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// No alert to wait for.
    #[error("no alert of this SLO is on: set alerting.page or alerting.ticket to true")]
    NoAlert,
    /// A series cannot be made up.
    #[error("it cannot be played, because no value was found for {0}; play it with simpler matchers instead")]
    NoValue(String),
    /// The rules cannot be written.
    #[error(transparent)]
    Rules(#[from] PlanError),
    /// promtool did not get to the end.
    #[error("promtool could not play it: {0}")]
    Promtool(String),
}

/// What promtool gets.
#[derive(Debug)]
pub struct Play<'a> {
    profile: &'a ValidatedProfile,
    slo: &'a Slo,
    incident: Incident,
    times: Times,
    /// The rules of this SLO, as they are generated.
    pub rules: String,
    /// The test that reads them as [`RULES`].
    pub test: Value,
}

impl<'a> Play<'a> {
    /// Makes up the series of an incident.
    ///
    /// # Errors
    /// When there is nothing to play or it cannot be.
    pub fn new(
        profile: &'a ValidatedProfile,
        slo: &'a Slo,
        incident: Incident,
    ) -> Result<Self, IncidentError> {
        let incident = if counts_time(slo) { Incident { bad_percent: 100.0, ..incident } } else { incident };
        let times = times(profile, slo, &incident).ok_or(IncidentError::NoAlert)?;
        let mut alone = profile.clone();
        alone.slos = vec![slo.clone()];
        let rules = rule_file(&alone)?.unwrap_or_default();
        let test = json!({
            "rule_files": [RULES],
            "evaluation_interval": format!("{}s", times.evaluation),
            "tests": [{
                "interval": "1s",
                "input_series": series(profile, slo, &incident, times)?,
                "promql_expr_test": questions(times),
            }],
        });
        Ok(Self { profile, slo, incident, times, rules, test })
    }

    /// What came of it, from everything that promtool printed.
    ///
    /// # Errors
    /// When that is not the answers.
    pub fn outcome(&self, printed: &str) -> Result<Outcome, IncidentError> {
        outcome::read(self, printed)
    }
}

/// When what happens; none without an alert.
fn times(profile: &ValidatedProfile, slo: &Slo, incident: &Incident) -> Option<Times> {
    let tiers = wanted_tiers(slo);
    let judged =
        |length: &str| judged_seconds(slo, length, incident.events_per_second).unwrap_or(LONGEST_WINDOW);
    let short = tiers.iter().map(|tier| judged(tier.short)).max()?;
    let longest = tiers.iter().map(|tier| judged(tier.long)).max()?.max(short);
    let delay = Delay::of(profile);
    let age = match &slo.indicator {
        Indicator::Freshness { max_age, .. } => seconds(max_age).unwrap_or_default(),
        _ => 0,
    };
    let whole = |seconds: u32| seconds.next_multiple_of(delay.evaluation);
    let quiet = whole(longest.max(age) + delay.seconds());
    Some(Times {
        scrape: delay.scrape,
        evaluation: delay.evaluation,
        quiet,
        incident: incident.seconds,
        end: whole(quiet + incident.seconds + short + 2 * delay.seconds()),
    })
}

/// Questions whose answers are times and budgets, each as an expectation that cannot be met.
fn questions(times: Times) -> Vec<Value> {
    let Times { evaluation, quiet, end, .. } = times;
    let firing = "ALERTS{alertstate=\"firing\"}";
    let each = format!("[{}s:{evaluation}s]", end + evaluation);
    let by = "by (alertname, slo_tier)";
    [
        (end, format!("min {by} (min_over_time(timestamp({firing}){each}))")),
        (end, format!("max {by} (max_over_time(timestamp({firing}){each}))")),
        (end, format!("sum {by} (count_over_time({firing}{each}))")),
        (quiet - 2 * evaluation, format!("sum({BUDGET_REMAINING})")),
        (end, format!("sum({BUDGET_REMAINING})")),
    ]
    .into_iter()
    .map(|(time, question)| {
        let never = json!([{"labels": "{never=\"this\"}", "value": 0}]);
        json!({"eval_time": format!("{time}s"), "expr": question, "exp_samples": never})
    })
    .collect()
}

#[cfg(test)]
mod tests;

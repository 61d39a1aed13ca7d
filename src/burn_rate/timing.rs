//! When a tier fires and stops, from its definition. In: a tier, an objective, a share of bad events. Out: seconds. No
//! cluster.
//!
//! With traffic that is even and was good before, a share e of bad events fills the long window L as time passes: its burn
//! rate passes k after k·B·L/e. After the end the short window S forgets: it falls below k after S·(1 - k·B/e). Scraping,
//! evaluating and waiting for late samples come on top of both.

use super::{Objective, Tier};

impl Tier {
    /// Length of the long window in seconds.
    #[must_use]
    pub const fn long_seconds(&self) -> u32 {
        self.long_hours * 3600
    }

    /// Length of the short window in seconds.
    #[must_use]
    pub const fn short_seconds(&self) -> u32 {
        self.short_minutes * 60
    }

    /// The share of bad events above which it fires: k·B.
    #[must_use]
    pub fn error_share(&self, objective: Objective) -> f64 {
        f64::from(self.hundredths) * f64::from(objective.budget_units()) / 1e8
    }

    /// Seconds after which it fires when, after a quiet time, this share of the events is bad; none when it never does.
    #[must_use]
    pub fn time_to_detect(&self, objective: Objective, bad: f64) -> Option<f64> {
        let limit = self.error_share(objective);
        (bad > limit).then(|| limit * f64::from(self.long_seconds()) / bad)
    }

    /// Seconds after which it stops when a time with this share of bad events, as long as the short window at least, has ended.
    #[must_use]
    pub fn time_to_reset(&self, objective: Objective, bad: f64) -> f64 {
        f64::from(self.short_seconds()) * (1.0 - self.error_share(objective) / bad).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tiers;
    use super::*;

    #[test]
    fn times_follow_from_the_windows() {
        let objective = Objective::parse("99.9").expect("an objective");
        let tiers = tiers(objective, 30);
        let detect = |bad: f64| -> Vec<Option<u32>> {
            let rounded = |seconds: f64| format!("{seconds:.0}").parse().expect("a number");
            tiers.iter().map(|tier| tier.time_to_detect(objective, bad).map(rounded)).collect()
        };
        assert_eq!(detect(1.0), [Some(52), Some(130), Some(259), Some(259)]);
        assert_eq!(detect(0.01), [None, Some(216 * 60), Some(432 * 60), Some(432 * 60)]);
        assert_eq!(detect(0.002), [None, None, None, Some(36 * 3600)]);
        assert!((tiers[0].time_to_reset(objective, 1.0) - 295.68).abs() < 1e-6);
        assert!((tiers[0].time_to_reset(objective, 0.0144)).abs() < 1e-6);
    }
}

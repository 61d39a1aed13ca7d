//! The arithmetic of objectives and burn rates, in integers. In: an objective and the days of its period. Out: the
//! alert tiers that can fire, with exact factors. No cluster.
//!
//! A burn rate of 1 spends the error budget exactly within the period. A tier fires while the burn rates of its long and
//! its short window are both above its factor k. With a period of P and a long window of L, k = f·P/L means: when the tier
//! fires after a quiet time, the share f of the budget is spent. The windows are fixed, f is 2, 5, 10 and 10 %, except
//! that k has a floor:
//!
//! - k is never below half of its value for 30 days: with seven days f·P/L would wake people up for a burn rate of 1.4.
//!   Where that would spend more than three quarters of the budget before anybody is told, three quarters are the limit.
//! - k is never below 1, for that would alert while the budget lasts.
//!
//! A tier whose long window is longer than the period has no meaning and is left out.
//!
//! | tier | windows | f | k for 1d | 7d | 14d | 28d | 30d | 90d |
//! |---|---|---|---|---|---|---|---|---|
//! | fast | 1h, 5m | 2 % | 7.2 | 7.2 | 7.2 | 13.44 | 14.4 | 43.2 |
//! | medium | 6h, 30m | 5 % | 3 | 3 | 3 | 5.6 | 6 | 18 |
//! | slow | 1d, 2h | 10 % | 1 | 1.5 | 1.5 | 2.8 | 3 | 9 |
//! | trickle | 3d, 6h | 10 % | | 1 | 1 | 1 | 1 | 3 |
//!
//! The burn rate of a full outage is 1/B, B being the budget as a share: a tier with k·B >= 1 could never fire.

mod decimal;
mod timing;

pub use decimal::Decimal;

/// One million: a share of 1 in the unit of [`Objective`].
const ALL: u32 = 1_000_000;

/// An objective in ten-thousandths of a percent: 99.5 % is 995000. Exact, so that thresholds carry no rounding noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Objective(pub u32);

/// A number of days as text: 1 day, 30 days.
#[must_use]
pub fn days(number: u32) -> String {
    if number == 1 { "1 day".to_owned() } else { format!("{number} days") }
}

/// Severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// Somebody looks in working hours.
    Ticket,
}

impl Severity {
    /// Value of the label `severity`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// A pair of windows and the burn rate that is too high for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Value of the label `slo_tier`.
    pub name: &'static str,
    /// Severity of its alert.
    pub severity: Severity,
    /// The window that shows that enough of the budget is spent.
    pub long: &'static str,
    /// The window that shows that it still goes on.
    pub short: &'static str,
    /// For how long the SLO must have been measured, where that matters: half of the long window.
    pub known_for: Option<&'static str>,
    /// The factor k in hundredths.
    hundredths: u32,
    long_hours: u32,
    short_minutes: u32,
}

impl Tier {
    /// The burn rate above which it fires, for example 14.4.
    #[must_use]
    pub fn factor(&self) -> String {
        Decimal::new(self.hundredths.into(), 2).to_string()
    }

    /// The share of the budget in percent that is spent when it fires after a quiet time, rounded to a tenth.
    #[must_use]
    pub fn budget_share(&self, window_days: u32) -> Decimal {
        // k·L/P as a percentage is hundredths · L / P; in tenths, to the nearest.
        let (spent, period) =
            (u64::from(self.hundredths * self.long_hours) * 10, u64::from(window_days * 24));
        Decimal::new((spent + period / 2) / period.max(1), 1)
    }

    /// The share of bad events in percent at the factor: k·B.
    #[must_use]
    pub fn error_percent(&self, objective: Objective) -> Decimal {
        Decimal::new(u64::from(self.hundredths) * u64::from(objective.budget_units()), 6)
    }

    /// False when not even a full outage reaches the factor.
    fn can_fire(&self, objective: Objective) -> bool {
        u64::from(self.hundredths) * u64::from(objective.budget_units()) < 100 * u64::from(ALL)
    }
}

/// A tier without its factor: of that, f in percent and the lowest k in hundredths.
struct Row {
    tier: Tier,
    percent: u32,
    floor: u32,
}

const fn row(
    (name, severity): (&'static str, Severity),
    (long, long_hours): (&'static str, u32),
    (short, short_minutes): (&'static str, u32),
    known_for: Option<&'static str>,
    (percent, floor): (u32, u32),
) -> Row {
    let tier = Tier { name, severity, long, short, known_for, hundredths: 0, long_hours, short_minutes };
    Row { tier, percent, floor }
}

const ROWS: [Row; 4] = [
    row(("fast", Severity::Page), ("1h", 1), ("5m", 5), None, (2, 720)),
    row(("medium", Severity::Page), ("6h", 6), ("30m", 30), None, (5, 300)),
    row(("slow", Severity::Ticket), ("1d", 24), ("2h", 120), Some("12h"), (10, 150)),
    row(("trickle", Severity::Ticket), ("3d", 72), ("6h", 360), Some("36h"), (10, 100)),
];

/// Most of the budget in percent that a floor may let be spent before a tier fires.
const MOST_SPENT: u32 = 75;

/// The tiers that can fire, the fastest first.
#[must_use]
pub fn tiers(objective: Objective, window_days: u32) -> Vec<Tier> {
    all_tiers(window_days).into_iter().filter(|tier| tier.can_fire(objective)).collect()
}

/// The tiers of a period, the fastest first, whatever the objective.
#[must_use]
pub fn all_tiers(window_days: u32) -> Vec<Tier> {
    let period_hours = window_days * 24;
    let tier = |Row { tier, percent, floor }: Row| {
        // f·P/L in hundredths; rounded up, because a third is no decimal.
        let factor = |percent: u32| (percent * period_hours).div_ceil(tier.long_hours);
        let floor = floor.min(factor(MOST_SPENT).max(100));
        Tier { hundredths: factor(percent).max(floor), ..tier }
    };
    ROWS.into_iter().map(tier).filter(|tier| tier.long_hours <= period_hours).collect()
}

impl Objective {
    /// Parses a percentage above 0 and below 100 with at most four decimals.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 2) || !digits(fraction, 4) {
            return None;
        }
        let units = whole.parse::<u32>().ok()? * 10_000 + format!("{fraction:0<4}").parse::<u32>().ok()?;
        (units > 0).then_some(Self(units))
    }

    /// As a percentage: 99.5.
    #[must_use]
    pub fn percent(self) -> Decimal {
        Decimal::new(self.0.into(), 4)
    }

    /// As a share: 0.995.
    #[must_use]
    pub fn ratio(self) -> Decimal {
        Decimal::new(self.0.into(), 6)
    }

    /// The error budget as a percentage: 0.5.
    #[must_use]
    pub fn budget_percent(self) -> Decimal {
        Decimal::new(self.budget_units().into(), 4)
    }

    /// The error budget as a share: 0.005.
    #[must_use]
    pub fn budget_ratio(self) -> Decimal {
        Decimal::new(self.budget_units().into(), 6)
    }

    /// The burn rate of a full outage, 1/B, rounded down to a hundredth.
    #[must_use]
    pub fn outage_burn_rate(self) -> Decimal {
        Decimal::new(u64::from(ALL) * 100 / u64::from(self.budget_units().max(1)), 2)
    }

    const fn budget_units(self) -> u32 {
        ALL.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(text: &str) -> Objective {
        Objective::parse(text).unwrap_or_else(|| panic!("{text} is an objective"))
    }

    fn factors(text: &str, days: u32) -> Vec<(&'static str, String)> {
        tiers(objective(text), days).iter().map(|tier| (tier.name, tier.factor())).collect()
    }

    #[test]
    fn objectives_are_exact() {
        for (text, ratio, budget) in [
            ("99.9", "0.999", "0.001"),
            ("99.5", "0.995", "0.005"),
            ("99", "0.99", "0.01"),
            ("95", "0.95", "0.05"),
            ("90", "0.9", "0.1"),
            ("99.9999", "0.999999", "0.000001"),
            ("0.0001", "0.000001", "0.999999"),
            ("05.50", "0.055", "0.945"),
        ] {
            let objective = objective(text);
            assert_eq!(
                (objective.ratio().to_string(), objective.budget_ratio().to_string()),
                (ratio.into(), budget.into())
            );
        }
        assert_eq!(objective("99.95").percent().to_string(), "99.95");
        assert_eq!(objective("99.95").budget_percent().to_string(), "0.05");
        for text in ["", "0", "00.0000", "100", "99.", ".5", "99.99999", "-1", "1e1", "9 ", "٣"] {
            assert_eq!(Objective::parse(text), None, "{text}");
        }
    }

    #[test]
    fn factors_are_exact() {
        let all = |values: [&str; 4]| -> Vec<(&'static str, String)> {
            ["fast", "medium", "slow", "trickle"].into_iter().zip(values.map(str::to_owned)).collect()
        };
        for text in ["99.9", "99.5", "99"] {
            assert_eq!(factors(text, 7), all(["7.2", "3", "1.5", "1"]), "{text}");
            assert_eq!(factors(text, 28), all(["13.44", "5.6", "2.8", "1"]), "{text}");
            assert_eq!(factors(text, 30), all(["14.4", "6", "3", "1"]), "{text}");
            assert_eq!(factors(text, 90), all(["43.2", "18", "9", "3"]), "{text}");
        }
        assert_eq!(factors("99.9", 31)[3].1, "1.04", "3.1/3 is rounded up");
        assert_eq!(
            factors("99.9", 1),
            all(["7.2", "3", "1", ""])[..3],
            "three days are no window of one day"
        );
        assert_eq!(factors("99.9", 2), all(["7.2", "3", "1.5", ""])[..3]);
        assert_eq!(factors("99.9", 3), all(["7.2", "3", "1.5", "1"]));
    }

    #[test]
    fn tiers_that_cannot_fire_are_left_out() {
        let names =
            |text, days| tiers(objective(text), days).iter().map(|tier| tier.name).collect::<Vec<_>>();
        let all = ["fast", "medium", "slow", "trickle"];
        for days in [7, 28, 30] {
            assert_eq!(names("95", days), all, "{days}");
        }
        assert_eq!(names("95", 90), all[1..], "43.2 · 0.05 = 2.16");
        assert_eq!(names("90", 7), all, "7.2 · 0.1 = 0.72");
        assert_eq!(names("90", 28), all[1..], "13.44 · 0.1 = 1.344");
        assert_eq!(names("90", 30), all[1..], "14.4 · 0.1 = 1.44");
        assert_eq!(names("90", 90), all[2..], "18 · 0.1 = 1.8");
        assert_eq!(names("66.6666", 30), all[3..], "3 · 0.333334 > 1");
        assert_eq!(names("66.6667", 30), all[2..], "3 · 0.333333 < 1");
        // Exactly 1 is not above the burn rate of a full outage.
        assert_eq!(names("75", 28), all[2..]);
        assert_eq!(names("50", 20), all[3..], "2 · 0.5 = 1");
    }

    #[test]
    fn every_factor_is_at_least_one_and_falls_from_tier_to_tier() {
        for days in 1..=90 {
            let tiers = tiers(objective("99.9999"), days);
            assert_eq!(tiers.len(), if days < 3 { 3 } else { 4 });
            assert!(tiers.iter().all(|tier| tier.hundredths >= 100), "{days}");
            assert!(tiers.windows(2).all(|pair| pair[0].hundredths > pair[1].hundredths), "{days}");
        }
    }

    #[test]
    fn budget_shares() {
        let shares = |days| {
            tiers(objective("99.9"), days)
                .iter()
                .map(|tier| tier.budget_share(days).to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(shares(30), ["2", "5", "10", "10"]);
        assert_eq!(shares(90), ["2", "5", "10", "10"]);
        assert_eq!(shares(28), ["2", "5", "10", "10.7"]);
        assert_eq!(shares(7), ["4.3", "10.7", "21.4", "42.9"]);
        assert_eq!(shares(1), ["30", "75", "100"]);
    }
}

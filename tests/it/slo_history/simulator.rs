//! The reference: what burn rates, budget and alerts are by definition, from the events of each scrape. In: the truth of the
//! generator. Out: numbers at a point in time. Written from the definition alone: it shares no code with the planner.

use super::generator::Source;
use super::scenarios::Scenario;

/// An alert: its windows in minutes, and for each period in days its factor in hundredths.
pub struct Tier {
    pub name: &'static str,
    long: i64,
    short: i64,
    /// True when something must have been measured in the older half of the long window.
    waits: bool,
    factors: &'static [(i64, u64)],
}

const fn tier(
    name: &'static str,
    (long, short): (i64, i64),
    waits: bool,
    factors: &'static [(i64, u64)],
) -> Tier {
    Tier { name, long, short, waits, factors }
}

const TIERS: [Tier; 4] = [
    tier("fast", (60, 5), false, &[(1, 720), (7, 720), (28, 1344), (30, 1440), (90, 4320)]),
    tier("medium", (360, 30), false, &[(1, 300), (7, 300), (28, 560), (30, 600), (90, 1800)]),
    tier("slow", (1440, 120), true, &[(1, 100), (7, 150), (28, 280), (30, 300), (90, 900)]),
    tier("trickle", (4320, 360), true, &[(7, 100), (28, 100), (30, 100), (90, 300)]),
];

/// What is judged for a window in minutes where there is a least number of events: the first of these windows that holds the
/// share of it, or else what is judged for the last one.
const WINDOWS: [(i64, u64, &[i64], Option<i64>); 7] = [
    (5, 12, &[5, 10, 20], Some(30)),
    (30, 12, &[30, 45, 60, 90], Some(120)),
    (60, 1, &[60, 120, 180, 240], Some(360)),
    (120, 12, &[120, 180, 240, 360, 540, 720, 1080, 1440, 2160, 2880], Some(4320)),
    (360, 1, &[360, 540, 720, 1080], Some(1440)),
    (1440, 1, &[1440, 2160, 2880], Some(4320)),
    (4320, 1, &[4320], None),
];

/// A sample counts from 15 s after its time.
const LATENESS: i64 = 15_000;
const MINUTE: i64 = 60_000;
/// How near to its limit a burn rate is neither above nor below.
const BAND: f64 = 1e-6;

/// The events of a group of an SLO, by scrape.
pub struct History {
    /// Of each scrape, in order.
    times: Vec<i64>,
    /// Events and bad events before each scrape, and at last all.
    sums: Vec<(u64, u64)>,
    /// The share of bad events that is allowed, in millionths.
    budget: u64,
    days: i64,
    minimum: Option<u64>,
}

/// The events of a window.
pub struct Window {
    scrapes: usize,
    pub events: u64,
    pub bad: u64,
}

impl History {
    /// What happened to an SLO, or to one of its groups.
    pub fn new(scenario: &Scenario, route: &str) -> Self {
        let sources = scenario.sources.iter().filter(|source| source.route.unwrap_or_default() == route);
        let mut scrapes: Vec<_> = sources.flat_map(Source::truth).collect();
        scrapes.sort_by_key(|scrape| scrape.time);
        let mut sums = vec![(0, 0)];
        sums.extend(scrapes.iter().scan((0, 0), |sum, scrape| {
            *sum = (sum.0 + scrape.counts.0, sum.1 + scrape.counts.1);
            Some(*sum)
        }));
        Self {
            times: scrapes.iter().map(|scrape| scrape.time).collect(),
            sums,
            budget: scenario.budget(),
            days: i64::try_from(scenario.days).expect("small"),
            minimum: scenario.minimum,
        }
    }

    /// The tiers that can fire at all.
    pub fn tiers(&self) -> impl Iterator<Item = (&'static Tier, f64)> {
        TIERS.iter().filter_map(|tier| {
            let (_, hundredths) = tier.factors.iter().find(|(days, _)| *days == self.days)?;
            // At most everything is bad.
            (hundredths * self.budget < 100_000_000).then(|| (tier, float(*hundredths) / 100.0))
        })
    }

    /// The last minutes before a time in seconds.
    fn window(&self, time: i64, minutes: i64) -> Window {
        let end = time * 1000 - LATENESS;
        let until = |time| self.times.partition_point(|scrape| *scrape <= time);
        let (first, last) = (until(end - minutes * MINUTE), until(end));
        let (before, after) = (self.sums[first], self.sums[last]);
        Window { scrapes: last - first, events: after.0 - before.0, bad: after.1 - before.1 }
    }

    /// The period of the budget.
    pub fn period(&self, time: i64) -> Window {
        self.window(time, self.days * 1440)
    }

    /// The window's share of bad events over the budget; none without events.
    pub fn burn_rate(&self, time: i64, minutes: i64) -> Option<f64> {
        match self.minimum {
            Some(least) => self.guarded(time, minutes, least),
            None => self.spent(&self.window(time, minutes)),
        }
    }

    /// With little traffic: of the windows that stand in for this one the first that holds enough. In the longest, two bad
    /// events are enough.
    fn guarded(&self, time: i64, minutes: i64, least: u64) -> Option<f64> {
        let (_, share, lengths, wider) =
            WINDOWS.iter().find(|(length, ..)| *length == minutes).expect("a window");
        let mut windows = lengths.iter().map(|length| self.window(time, *length));
        match (windows.find(|window| window.events >= least.div_ceil(*share)), wider) {
            (Some(window), _) => self.spent(&window),
            (None, Some(wider)) => self.guarded(time, *wider, least),
            (None, None) => {
                let window = self.window(time, minutes);
                self.spent(&window).filter(|_| window.bad >= 2)
            }
        }
    }

    /// The unspent share of the budget; none before anything was measured.
    pub fn budget_remaining(&self, time: i64) -> Option<f64> {
        let period = self.period(time);
        (period.scrapes > 0).then(|| 1.0 - self.spent(&period).unwrap_or(0.0))
    }

    fn spent(&self, window: &Window) -> Option<f64> {
        Some(window.error_ratio()? / (float(self.budget) / 1e6))
    }

    /// Whether the tier's alert fires; none where a burn rate is so near to the factor that rounding decides.
    pub fn fires(&self, (tier, factor): (&Tier, f64), time: i64) -> Option<bool> {
        if tier.waits && self.window(time - tier.long * 30, tier.long / 2).scrapes == 0 {
            return Some(false);
        }
        let rates = [tier.long, tier.short].map(|minutes| self.burn_rate(time, minutes).unwrap_or(0.0));
        let decided = rates.iter().all(|rate| (rate / factor - 1.0).abs() >= BAND);
        decided.then(|| rates.iter().all(|rate| *rate > factor))
    }
}

impl Window {
    /// A count of it; none where nothing was measured.
    pub fn measured(&self, count: fn(&Self) -> u64) -> Option<f64> {
        (self.scrapes > 0).then(|| float(count(self)))
    }

    pub fn error_ratio(&self) -> Option<f64> {
        (self.events > 0).then(|| float(self.bad) / float(self.events))
    }
}

/// Counts stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub fn float(count: u64) -> f64 {
    count as f64
}

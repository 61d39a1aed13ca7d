//! The scenarios: for each an SLO, the sources of its events, and the tiers that must have fired at the end. Periods and
//! objectives are mixed, so that each row of the table of factors is met.

use std::collections::BTreeSet;
use std::ops::Range;

use super::clock::{DAY, HOUR, STEP, STEPS};
use super::generator::{Counts, Exposed, Source};

pub struct Scenario {
    /// Name of its SLO, and with `_` of its metric.
    pub name: &'static str,
    /// The objective in millionths.
    pub objective: u64,
    /// Its period.
    pub days: usize,
    pub indicator: Indicator,
    /// The fewest events by which a window is judged.
    pub minimum: Option<u64>,
    pub sources: Vec<Source>,
    /// The steps without an evaluation, because Prometheus was down.
    pub down: Range<usize>,
    /// The tiers that fire at some time; no other does.
    pub fires: &'static [&'static str],
}

#[derive(Clone, Copy)]
pub enum Indicator {
    Bad,
    Good,
    Routes,
    Classic,
    Native,
}

impl Scenario {
    pub fn metric(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The SLO as the profile has it.
    pub fn slo(&self) -> String {
        let metric = self.metric();
        let bad = format!("ratio: {{bad: '{metric}_total{{code=\"500\"}}', total: {metric}_total}}");
        let indicator = match self.indicator {
            Indicator::Bad => bad,
            Indicator::Good => bad.replace("bad", "good").replace("500", "200"),
            Indicator::Routes => format!("{bad}, groupBy: [route]"),
            Indicator::Classic => format!("latency: {{histogram: {metric}, threshold: '1'}}"),
            Indicator::Native => format!("latency: {{histogram: {metric}, threshold: '1', type: Native}}"),
        };
        let minimum =
            self.minimum.map(|least| format!(", alerting: {{minimumEvents: {least}}}")).unwrap_or_default();
        let (whole, fraction) = (self.objective / 10_000, self.objective % 10_000);
        let (name, days) = (self.name, self.days);
        format!("{{name: {name}, objective: '{whole}.{fraction:04}', window: {days}d, {indicator}{minimum}}}")
    }

    /// The share of bad events that is allowed, in millionths.
    pub const fn budget(&self) -> u64 {
        1_000_000 - self.objective
    }

    /// The values of `route`; an empty one where the SLO has no groups.
    pub fn routes(&self) -> BTreeSet<&'static str> {
        self.sources.iter().map(|source| source.route.unwrap_or_default()).collect()
    }
}

const FIRST: &str = "10.0.0.1:8081";
const SECOND: &str = "10.0.0.2:8081";
const CODES: Exposed = Exposed::Codes { born_late: false };
/// When Prometheus does not scrape. It stops after an evaluation and before the next scrape, and starts likewise:
/// what is scraped after the last evaluation is in no record.
const DOWN: Range<usize> = 14 * DAY + 10 * HOUR..14 * DAY + 12 * HOUR;
/// When a process begins to spell a bound in another way.
const RESPELLED: usize = 18 * DAY;

/// A source that is there all the time.
fn source(counts: fn(usize) -> Counts) -> Source {
    Source {
        instance: FIRST,
        route: None,
        exposed: CODES,
        phase: 20,
        life: 0..STEPS,
        continues: false,
        restarts: BTreeSet::new(),
        unseen: BTreeSet::new(),
        counts,
    }
}

/// Whether the step is one of `minutes` from an hour of a day on.
const fn within(step: usize, (day, hour): (usize, usize), minutes: usize) -> bool {
    let start = day * DAY + hour * HOUR;
    step >= start && step < start + minutes * 60 / STEP
}

/// The first count if it holds, else the second.
const fn either(condition: bool, count: u64, otherwise: u64) -> u64 {
    if condition { count } else { otherwise }
}

fn every(steps: usize) -> BTreeSet<usize> {
    (steps..STEPS).step_by(steps).collect()
}

fn constant(step: usize) -> Counts {
    (600, either(step.is_multiple_of(10), 3, 0))
}

/// Outages of every size, from a total one of 20 minutes to a leak of twelve hours.
fn outages(step: usize) -> Counts {
    let bad = match step {
        _ if within(step, (10, 12), 20) => 1000,
        _ if within(step, (14, 3), 3 * 60) => 100,
        _ if within(step, (18, 6), 12 * 60) => 9,
        _ if within(step, (22, 0), 8 * 60) => 330,
        _ => either(step.is_multiple_of(20), 1, 0),
    };
    (1000, bad)
}

fn trickle(step: usize) -> Counts {
    (500, either(within(step, (9, 0), 7 * 24 * 60), 1, 0))
}

fn day_and_night(step: usize) -> Counts {
    if (8..20).contains(&(step % DAY / HOUR)) { (10_000, 2) } else { (100, 4) }
}

/// Nobody calls before eight; one evening ends in an outage.
fn silent_nights(step: usize) -> Counts {
    match step % DAY / HOUR {
        0..8 => (0, 0),
        _ if within(step, (15, 23), 60) => (300, 150),
        _ => (300, either(step.is_multiple_of(7), 1, 0)),
    }
}

/// A request each quarter of an hour, and a few of them fail.
fn little_traffic(step: usize) -> Counts {
    let event = step.is_multiple_of(HOUR / 4);
    let bad = event && (within(step, (17, 2), 180) || (step / HOUR).is_multiple_of(61));
    (u64::from(event), u64::from(bad))
}

fn restarted(step: usize) -> Counts {
    let (bad, more) = (either(step.is_multiple_of(3), 2, 0), step as u64 % 17);
    (150 + more, either(within(step, (20, 9), 240), 15, bad))
}

fn late_errors(step: usize) -> Counts {
    (80, either(within(step, (12, 7), 45) || within(step, (25, 1), 45), 40, 0))
}

fn route_with_outage(step: usize) -> Counts {
    (200, either(within(step, (22, 10), 100), 120, 0))
}

fn replica(step: usize) -> Counts {
    (110, either(step.is_multiple_of(50), 1, 0))
}

fn broken_replica(step: usize) -> Counts {
    (90, either(within(step, (8, 15), 90), 90, either(step.is_multiple_of(30), 1, 0)))
}

/// Not bad in the step in which a bound changes its spelling: what is bad there is not seen.
fn slow_events(step: usize) -> Counts {
    let bad = either(within(step, (17, 20), 600), 35, either(step % 4 == 1, 1, 0));
    (400, either(step == RESPELLED, 0, bad))
}

/// Errors that begin while Prometheus is down and end after it is back.
fn unseen_errors(step: usize) -> Counts {
    (700, either(within(step, (14, 11), 90), 200, 0))
}

pub fn all() -> Vec<Scenario> {
    let base = |name, sources| Scenario {
        name,
        objective: 999_000,
        days: 30,
        indicator: Indicator::Bad,
        minimum: None,
        sources,
        down: 0..0,
        fires: &["fast", "medium", "slow", "trickle"],
    };
    let mut scenarios = vec![
        Scenario { fires: &[], ..base("constant", vec![source(constant)]) },
        base("outages", vec![source(outages)]),
        Scenario {
            objective: 990_000,
            days: 90,
            fires: &["medium", "slow", "trickle"],
            ..base("quarter", vec![source(outages)])
        },
        Scenario { fires: &["trickle"], ..base("trickle", vec![source(trickle)]) },
        Scenario {
            objective: 995_000,
            fires: &["medium"],
            ..base("day-and-night", vec![source(day_and_night)])
        },
        Scenario { indicator: Indicator::Good, ..base("silent-nights", vec![source(silent_nights)]) },
        Scenario {
            objective: 990_000,
            days: 7,
            minimum: Some(50),
            ..base("little-traffic", vec![source(little_traffic)])
        },
    ];
    scenarios.extend(series_that_change(base));
    scenarios
}

/// Scenarios in which it is the series that are difficult.
fn series_that_change(base: fn(&'static str, Vec<Source>) -> Scenario) -> [Scenario; 7] {
    let late = Exposed::Codes { born_late: true };
    let route = |route, counts| Source { route: Some(route), ..source(counts) };
    let buckets = |instance, before| {
        let exposed = Exposed::Buckets { before, change: RESPELLED, after: "1.0" };
        Source { instance, exposed, ..source(slow_events) }
    };
    let replaced = [
        Source { life: 0..12 * DAY, restarts: every(433), ..source(restarted) },
        Source { instance: SECOND, life: 12 * DAY + 3..STEPS, restarts: every(1001), ..source(restarted) },
    ];
    let routes = [
        route("/exports", route_with_outage),
        route("/silent", |_| (0, 0)),
        Source { life: 20 * DAY..STEPS, continues: true, ..route("/late", route_with_outage) },
    ];
    // On both sides of the moment up to which an evaluation looks, and one of them is not reached now and then.
    let edge = i64::try_from(STEP).expect("small") - 15;
    let replicas = [
        Source { phase: edge, unseen: every(97), ..source(replica) },
        Source { instance: SECOND, phase: edge + 5, restarts: every(2000), ..source(broken_replica) },
    ];
    let native = Source { exposed: Exposed::Native, restarts: every(5000), ..source(slow_events) };
    [
        Scenario {
            objective: 990_000,
            days: 1,
            fires: &["fast", "medium", "slow"],
            ..base("restarts", replaced.into())
        },
        Scenario {
            days: 7,
            ..base(
                "late-errors",
                vec![Source { exposed: late, restarts: [20 * DAY].into(), ..source(late_errors) }],
            )
        },
        Scenario { objective: 995_000, indicator: Indicator::Routes, ..base("routes", routes.into()) },
        Scenario { objective: 995_000, ..base("replicas", replicas.into()) },
        Scenario {
            objective: 990_000,
            days: 28,
            indicator: Indicator::Classic,
            fires: &["medium", "slow", "trickle"],
            ..base("spellings", vec![buckets(FIRST, "1"), buckets(SECOND, "1.0")])
        },
        Scenario {
            objective: 990_000,
            days: 7,
            indicator: Indicator::Native,
            ..base("native", vec![native])
        },
        Scenario {
            down: DOWN.start + 1..DOWN.end + 1,
            ..base("unseen", vec![Source { exposed: late, unseen: DOWN.collect(), ..source(unseen_errors) }])
        },
    ]
}

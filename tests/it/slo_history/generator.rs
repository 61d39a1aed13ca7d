//! What applications counted and what Prometheus scraped of it. In: sources of events, each a function of the time. Out: the
//! raw series, and the truth: how many events and bad events each scrape brought to light. Knows nothing of the rules.

use std::collections::BTreeSet;
use std::ops::Range;

use super::clock::at;
use testbed::remote_write::{Histogram, Labels, Sample, Series, Span, series};

/// Events and bad events of a step.
pub type Counts = (u64, u64);

/// How a source exposes its counts, under the metric's name.
#[derive(Clone, Copy, PartialEq)]
pub enum Exposed {
    /// A counter with the code 200 or 500; with `born_late` that of 500 comes into being with its first event.
    Codes { born_late: bool },
    /// A histogram whose good events lie in the bucket up to 1, which is spelled in one way before a step, then in another.
    Buckets { before: &'static str, change: usize, after: &'static str },
    /// A native histogram with good events up to 1 and bad ones above.
    Native,
}

/// A process that Prometheus scrapes once in each step, or a part of what it counts.
#[derive(Clone)]
pub struct Source {
    pub instance: &'static str,
    /// The value of the label `route`; none where the SLO has no groups.
    pub route: Option<&'static str>,
    pub exposed: Exposed,
    /// Seconds from the step to the scrape.
    pub phase: i64,
    /// The steps in which its series are there.
    pub life: Range<usize>,
    /// True for a series that is born in a process which has been scraped before: its first value counts.
    pub continues: bool,
    /// Steps in which the process has begun anew, and its counters from zero.
    pub restarts: BTreeSet<usize>,
    /// Steps without a scrape; what happens in them is seen at the next.
    pub unseen: BTreeSet<usize>,
    pub counts: fn(usize) -> Counts,
}

/// What a scrape brought to light: its time in milliseconds, and the events since the one before.
pub struct Scrape {
    pub time: i64,
    pub counts: Counts,
}

/// A scrape of a source: what its counters show, and what is new.
struct Seen {
    step: usize,
    time: i64,
    shown: Counts,
    /// None at the first scrape of a new process: what it had counted before is not of now.
    new: Option<Counts>,
}

impl Source {
    fn scrapes(&self) -> Vec<Seen> {
        let (mut shown, mut new) = ((0, 0), (0, 0));
        let mut known = self.continues;
        let mut scrapes = Vec::new();
        for step in self.life.clone() {
            if self.restarts.contains(&step) {
                shown = (0, 0);
            }
            let (events, bad) = (self.counts)(step);
            shown = (shown.0 + events, shown.1 + bad);
            new = (new.0 + events, new.1 + bad);
            if self.unseen.contains(&step) {
                continue;
            }
            // A few milliseconds early or late, so that a scrape may fall on either side of an evaluation.
            let jitter = i64::try_from(step * 7 % 11).expect("small") - 5;
            let time = (at(step) + self.phase) * 1000 + jitter;
            scrapes.push(Seen { step, time, shown, new: known.then_some(new) });
            (known, new) = (true, (0, 0));
        }
        scrapes
    }

    /// What a Prometheus could know, in the order of time.
    pub fn truth(&self) -> Vec<Scrape> {
        let scrape = |seen: Seen| Some(Scrape { time: seen.time, counts: seen.new? });
        self.scrapes().into_iter().filter_map(scrape).collect()
    }

    /// The series that Prometheus has scraped.
    pub fn series(&self, metric: &str) -> Vec<Series> {
        let scrapes = self.scrapes();
        let good = |seen: &Seen| (seen.time, seen.shown.0 - seen.shown.1);
        match self.exposed {
            Exposed::Codes { born_late } => {
                let there = scrapes.iter().filter(|seen| !born_late || seen.shown.1 > 0);
                let bad = there.map(|seen| (seen.time, seen.shown.1));
                let metric = format!("{metric}_total");
                vec![
                    self.counter(&metric, Some(("code", "200")), scrapes.iter().map(good)),
                    self.counter(&metric, Some(("code", "500")), bad),
                ]
            }
            Exposed::Buckets { before, change, after } => {
                let (old, new) = scrapes.split_at(scrapes.partition_point(|seen| seen.step < change));
                let bucket = |bound, scrapes: &[Seen]| {
                    let good = scrapes.iter().map(good);
                    self.counter(&format!("{metric}_bucket"), Some(("le", bound)), good)
                };
                let count = scrapes.iter().map(|seen| (seen.time, seen.shown.0));
                let count = self.counter(&format!("{metric}_count"), None, count);
                vec![bucket(before, old), bucket(after, new), count]
            }
            Exposed::Native => {
                let histograms = scrapes.iter().map(histogram).collect();
                vec![Series { histograms, ..self.counter(metric, None, []) }]
            }
        }
    }

    fn counter(
        &self,
        metric: &str,
        label: Option<(&str, &str)>,
        samples: impl IntoIterator<Item = (i64, u64)>,
    ) -> Series {
        let target = [("namespace", "media"), ("job", "trakt"), ("instance", self.instance)];
        let labels = [("__name__", metric)].into_iter().chain(target).chain(label);
        let labels = labels.chain(self.route.map(|route| ("route", route)));
        let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // Counts stay far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let sample = |(timestamp, value)| Sample { value: value as f64, timestamp };
        Series { samples: samples.into_iter().map(sample).collect(), ..series(labels) }
    }
}

/// Two buckets: from 0.5 to 1, and from 1 to 2.
fn histogram(seen: &Seen) -> Histogram {
    let signed = |count: u64| i64::try_from(count).expect("small");
    let (events, bad) = (signed(seen.shown.0), signed(seen.shown.1));
    Histogram {
        count: seen.shown.0,
        spans: vec![Span { offset: 0, length: 2 }],
        deltas: vec![events - bad, 2 * bad - events],
        timestamp: seen.time,
        ..Histogram::default()
    }
}

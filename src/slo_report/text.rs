//! The report as text. In: a report. Out: what `slo explain` prints. No cluster.

use std::fmt;

use super::words::{count, duration};
use super::{SloReport, TierReport};
use crate::burn_rate::days;

impl fmt::Display for SloReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, profile, slo, objective, .. } = self;
        let what = if self.counts_time { "the time is" } else { "the events are" };
        writeln!(
            f,
            "SLO {slo} of {namespace}/{profile}: {objective} % of {what} good over {}",
            days(self.window_days)
        )?;
        writeln!(f, "  measured     {}", self.measures)?;
        if !self.group_by.is_empty() {
            writeln!(
                f,
                "  split        each value of {} has a budget and alerts of its own",
                self.group_by.join(", ")
            )?;
        }
        self.budget(f)?;
        if let Some(least) = self.minimum_events {
            writeln!(
                f,
                "  few events   a window with fewer than {least} events, or a short one with fewer than {}, is not judged: \
                 it is widened in steps (1h to 2h, 3h, 4h, 6h, ...) until it holds as many, up to 3 days, where two bad events \
                 are enough",
                least.div_ceil(12)
            )?;
        }
        writeln!(
            f,
            "  no data      SLOMetricAbsent opens a ticket when there is none for {} although pods run",
            self.absent_after
        )?;
        writeln!(f, "\nAlerts")?;
        for tier in &self.tiers {
            writeln!(f, "  {:<9}{}", tier.tier, tier.threshold)?;
        }
        for left_out in &self.left_out {
            writeln!(f, "  {:<9}none: {}", left_out.tier, left_out.reason)?;
        }
        if !self.tiers.is_empty() {
            self.table(f)?;
        }
        self.hints.iter().try_for_each(|hint| writeln!(f, "\nhint: {hint}"))
    }
}

impl SloReport {
    fn budget(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, outage) = (&self.budget.percent, duration(self.budget.outage_seconds));
        if self.counts_time {
            return writeln!(f, "  budget       {percent} % of the time: {outage}");
        }
        writeln!(f, "  budget       {percent} % of the events: with even traffic {outage} of full outage")?;
        match (&self.traffic, self.budget.events, self.budget.bad_events) {
            (Some(traffic), Some(events), Some(bad)) => writeln!(
                f,
                "               at {} events/s ({}): {} bad of {} events",
                count(traffic.events_per_second),
                traffic.source,
                count(bad),
                count(events)
            ),
            _ => {
                let per_million = percent.parse::<f64>().unwrap_or_default() * 1e4;
                writeln!(f, "               {} bad events of each million", count(per_million))
            }
        }
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = self.delay;
        writeln!(
            f,
            "\nTimes, at most; {} s of each are for the scrape ({} s), the evaluation ({} s) and late samples ({} s)",
            delay.seconds(),
            delay.scrape,
            delay.evaluation,
            delay.lateness
        )?;
        let mut rows = vec![self.head()];
        rows.extend(self.tiers.iter().map(row));
        let widths: Vec<_> = (0..rows[0].len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
            })
            .collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        if self.tiers.iter().any(|tier| tier.measured_for.is_some()) {
            writeln!(f, "  (measured: a ticket waits until the SLO was measured that long ago)")?;
        }
        Ok(())
    }

    fn head(&self) -> Vec<String> {
        let mut head: Vec<_> =
            ["tier", "severity", "windows", "factor", "measured"].map(str::to_owned).into();
        let shares = self.tiers.first().into_iter().flat_map(|tier| &tier.detection);
        head.extend(shares.map(|detection| {
            if self.counts_time {
                "fires after".to_owned()
            } else {
                format!("{} % bad", detection.bad_percent)
            }
        }));
        head.push("stops after".to_owned());
        if self.traffic.is_some() {
            head.push("fewest bad events".to_owned());
        }
        head
    }
}

fn row(tier: &TierReport) -> Vec<String> {
    let mut row = vec![
        tier.tier.to_owned(),
        tier.severity.to_owned(),
        format!("{} and {}", tier.long_window, tier.short_window),
        tier.factor.clone(),
        tier.measured_for.unwrap_or("-").to_owned(),
    ];
    row.extend(tier.detection.iter().map(|detection| detection.seconds.map_or("-".to_owned(), duration)));
    row.push(duration(tier.reset_seconds));
    row.extend(tier.fewest_bad_events.map(|fewest| count(fewest as f64)));
    row
}

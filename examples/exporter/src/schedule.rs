//! Exports at intervals. In: an interval. Out: one export at once, and one at each interval after that, never two at a time.
//! Talks to Trakt through `export`.

use std::time::Duration;

use jiff::SignedDuration;
use telemetry::CorrelationId;
use tokio::time::MissedTickBehavior;

use crate::export::{Exporter, Part};
use crate::stop::Stop;

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// An interval as people write it: `6h`, `90m`, `1h 30m`. From 1 s to 366 days.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration =
        text.parse().map_err(|error| format!("{error}; write for example 6h or 1h 30m"))?;
    let duration =
        Duration::try_from(duration).map_err(|_| "it must be positive, for example 6h".to_owned())?;
    if duration < Duration::from_secs(1) || duration > LONGEST {
        return Err("it must be between 1s and 366 days (8784h)".to_owned());
    }
    Ok(duration)
}

/// Runs until it is told to stop. An interval that ends while an export still runs is left out.
pub(crate) async fn run(exporter: &Exporter, every: Duration, stop: &Stop) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        let export = CorrelationId::random().scope(exporter.run(&Part::ALL));
        if stop.bounded(export).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_as_people_write_it() {
        for (text, seconds) in
            [("6h", 21_600), ("90m", 5_400), ("1h 30m", 5_400), ("2 hours", 7_200), ("PT1H", 3_600)]
        {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, reason) in [
            ("", "6h"),
            ("6", "6h"),
            ("-6h", "positive"),
            ("0s", "between"),
            ("100ms", "between"),
            ("9000h", "between"),
            ("soon", "6h"),
        ] {
            let error = interval(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

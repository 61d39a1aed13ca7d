//! What a person sees of the builds, on standard error. In: which parts are built. Out: lines. Does not talk to the cluster.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::part::Part;

/// How often a long build says that it goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// The builds of one call.
pub(super) struct Run<'a> {
    parts: &'a [Part],
    start: Instant,
}

impl Run<'_> {
    /// Says what several parts will take; a single one speaks for itself.
    pub(super) fn start(parts: &[Part]) -> Run<'_> {
        let run = Run { parts, start: Instant::now() };
        if parts.len() > 1 {
            let names = parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
            let total = human(estimate(parts));
            eprintln!("testbed: {} parts are missing, about {total} for a first build: {names}", parts.len());
        }
        run
    }

    /// The progress of the part with this number, counted from zero.
    pub(super) fn part(&self, number: usize) -> Progress {
        let now = Instant::now();
        Progress {
            part: self.parts[number],
            place: format!("{} of {}", number + 1, self.parts.len()),
            expected: estimate(&self.parts[number..]),
            start: now,
            said: Cell::new(now),
        }
    }

    /// Says what several parts have taken.
    pub(super) fn end(self) {
        if self.parts.len() > 1 {
            eprintln!("testbed: built {} parts in {}", self.parts.len(), human(self.start.elapsed()));
        }
    }
}

/// The build of one part.
pub(super) struct Progress {
    part: Part,
    place: String,
    /// For this part and those after it.
    expected: Duration,
    start: Instant,
    said: Cell<Instant>,
}

impl Progress {
    /// Says what happens with the part.
    pub(super) fn say(&self, what: &str) {
        eprintln!("testbed: {what} {} ({})", self.part, self.place);
    }

    /// To be called often while something works; now and then it says so.
    pub(super) fn sign_of_life(&self) {
        if self.said.get().elapsed() < SIGN_OF_LIFE {
            return;
        }
        self.said.set(Instant::now());
        let elapsed = self.start.elapsed();
        let rest = match self.expected.saturating_sub(elapsed) {
            Duration::ZERO => String::new(),
            rest => format!(", about {} to go", human(rest)),
        };
        self.say(&format!("{} so far{rest}: still building", human(elapsed)));
    }

    /// Says how long it took.
    pub(super) fn done(&self) {
        eprintln!("testbed: built {} in {}", self.part, human(self.start.elapsed()));
    }
}

fn estimate(parts: &[Part]) -> Duration {
    Duration::from_secs(parts.iter().map(|part| part.seconds()).sum())
}

/// `12 min 3 s`.
fn human(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        assert_eq!(human(Duration::from_secs(59)), "59 s");
        assert_eq!(human(Duration::from_secs(723)), "12 min 3 s");
    }
}

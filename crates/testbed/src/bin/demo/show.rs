//! How the demo speaks: sections on standard output, progress on standard error, waiting that a signal ends. It talks to nobody.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use testbed::{interrupt, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions to a back end: the machine has other work.
const PAUSE: Duration = Duration::from_millis(500);
const WIDTH: usize = 150;

/// What is going on, with the seconds since the start.
pub struct Progress {
    started: Instant,
}

impl Progress {
    /// Starts counting.
    pub fn begin() -> Progress {
        Progress { started: Instant::now() }
    }

    /// One line.
    pub fn say(&self, text: &str) {
        eprintln!("[{:>4}s] {text}", self.started.elapsed().as_secs());
    }
}

/// This moment in Unix seconds, as Prometheus counts.
pub fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// The title of a section.
pub fn title(text: &str) {
    println!("\n== {text}");
}

/// A line, cut where it would run over two.
pub fn line(text: &str) {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => println!("{}…", &text[..end]),
        None => println!("{text}"),
    }
}

/// Repeats `check` until it gives a value, two minutes at most.
pub fn wait<T>(what: &str, check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_for(what, PATIENCE, check)
}

/// The same with a deadline.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    wait_until(what, deadline, || {
        if interrupt::caught() {
            return Ok(Some(Err(anyhow!("interrupted"))));
        }
        let found = check();
        if !matches!(found, Ok(Some(_))) {
            sleep(PAUSE);
        }
        Ok(found?.map(Ok))
    })
    .flatten()
}

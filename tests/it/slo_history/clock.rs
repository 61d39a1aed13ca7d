//! The time of the history, counted in steps: one scrape and one evaluation each. No cluster.
//!
//! A step is as long as SLOs allow: with shorter ones the cost grows by the square, because each step reads the longest
//! window. It divides five minutes, so that each window is a number of steps.

/// Seconds of a step.
pub const STEP: usize = 75;
/// Steps of an hour.
pub const HOUR: usize = 3600 / STEP;
/// Steps of a day.
pub const DAY: usize = 24 * HOUR;
/// Steps of the history: 35 days.
pub const STEPS: usize = 35 * DAY;

/// When the history begins: in the past, at the beginning of a day.
const START: usize = 1_735_689_600;

/// The time of a step in Unix seconds.
pub fn at(step: usize) -> i64 {
    i64::try_from(START + STEP * step).expect("small")
}

/// The step at a time.
pub fn step_at(seconds: f64) -> usize {
    // Whole seconds of this century.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = seconds as usize;
    (seconds - START) / STEP
}

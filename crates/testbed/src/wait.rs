//! Waiting for a condition. In: a check and a deadline. Out: what the check found, or an error that says what was
//! missing and what was seen last. Does not talk to the cluster itself; checks may.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

const PAUSE: Duration = Duration::from_millis(50);

/// Repeats `check` until it gives a value or `deadline` has passed.
///
/// `Ok(None)` and `Err` both mean "not yet"; the last `Err` is quoted in the timeout error as the last observation. A
/// check that finds that waiting is pointless ends it with a value, for example `T = Result<_>`. The check always runs at
/// least once.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut observed = None;
    loop {
        match check() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => observed = Some(format!("{error:#}")),
        }
        if start.elapsed() >= deadline {
            let observed = observed.unwrap_or_else(|| "not yet".to_owned());
            return Err(anyhow!("waited {deadline:?} for {what}; last observation: {observed}"));
        }
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn the_timeout_error_quotes_the_last_observation() {
        let mut round = 0;
        let error = wait_until::<()>("three replicas", Duration::from_millis(120), || {
            round += 1;
            bail!("{round} replicas in namespace demo")
        })
        .unwrap_err()
        .to_string();
        assert!(round >= 2, "the check ran {round} times");
        assert_eq!(
            error,
            format!("waited 120ms for three replicas; last observation: {round} replicas in namespace demo")
        );
    }

    #[test]
    fn a_condition_that_holds_at_once_needs_no_time() {
        assert_eq!(wait_until("nothing", Duration::ZERO, || Ok(Some(7))).unwrap(), 7);
    }
}

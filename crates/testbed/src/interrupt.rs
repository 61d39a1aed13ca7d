//! An early end that still tidies up. In: SIGINT or SIGTERM. Out: every child process is killed, so that whatever this
//! process waits for fails, and its values are dropped in order. Does not talk to the cluster.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::identity::Identity;

const PAUSE: Duration = Duration::from_millis(100);

static CAUGHT: AtomicBool = AtomicBool::new(false);

/// From now on a signal does not end this process, but everything that it has started and still starts.
///
/// # Errors
/// When the system refuses.
pub fn catch() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_none() {
            return;
        }
        CAUGHT.store(true, Ordering::Relaxed);
        loop {
            for child in Identity::children_of(process::id()) {
                child.kill();
            }
            thread::sleep(PAUSE);
        }
    })?;
    Ok(())
}

/// Whether a signal has come.
pub fn caught() -> bool {
    CAUGHT.load(Ordering::Relaxed)
}

//! The real program, killed, terminated, started twice.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use exporter::simulator::{Behaviour, Simulator};
use testbed::{Daemon, Directory, Readiness, wait_until};

use crate::common::*;

fn once(simulator: &Simulator, directory: &Path) -> Command {
    let mut command = program(&simulator.url(), directory, &["--once"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// When a run is killed.
enum Moment {
    /// After this share of the time that a whole run takes.
    Share(f64),
    /// As soon as this file is there.
    File(&'static str),
}

/// Starts an export and kills it. False when it was over before.
fn kill(mut command: Command, moment: &Moment, whole: Duration, output: &Path) -> bool {
    let mut child = command.spawn().expect("the exporter");
    match moment {
        Moment::Share(share) => std::thread::sleep(whole.mul_f64(*share)),
        // Without a pause: what is waited for may be there for less than a millisecond.
        Moment::File(name) => {
            while !output.join(name).exists() && child.try_wait().expect("the exporter").is_none() {}
        }
    }
    let running = child.try_wait().expect("the exporter").is_none();
    child.kill().expect("the exporter");
    child.wait().expect("the exporter");
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_export_leaves_each_file_old_or_new_and_the_next_one_tidies_up() {
    let old = simulator(size(17_000, 3_000, 1_000), 1).await;
    let new = simulator(size(17_100, 3_100, 1_100), 2).await;
    tokio::task::spawn_blocking(move || {
        let directory = Directory::create("exporter").expect("a directory");
        let output = directory.path().join("out");
        assert!(once(&old, directory.path()).status().expect("the exporter").success());
        let before = files(&output);

        let reference = Directory::create("exporter").expect("a directory");
        let start = Instant::now();
        assert!(once(&new, reference.path()).status().expect("the exporter").success());
        let whole = start.elapsed();
        let after = files(&reference.path().join("out"));
        assert!(after.contains_key("watched-2.csv"), "{:?}", after.keys());

        let at_files = [
            ".ratings.csv.new",
            ".ratings.commit",
            ".watched.csv.new",
            ".watched-2.csv.new",
            "..watched.commit.new",
            ".watched.commit",
            ".watchlist.csv.new",
        ];
        let moments = (0..8).map(|step| Moment::Share(f64::from(step) / 8.0));
        let moments = moments.chain(at_files.into_iter().chain(at_files).map(Moment::File));
        let (mut kills, mut left_over) = (0, 0);
        for (step, moment) in moments.enumerate() {
            kills += u32::from(kill(once(&new, directory.path()), &moment, whole, &output));
            let found = files(&output);
            left_over += u32::from(found.keys().any(|name| name.starts_with('.')));
            for (name, text) in found.iter().filter(|(name, _)| !name.starts_with('.')) {
                let known = before.get(name) == Some(text) || after.get(name) == Some(text);
                assert!(known, "{name} is neither the old nor the new one after step {step}");
            }
            // Back to the old account, so that every step has something to replace. It is also the start that tidies up.
            if found != before {
                assert!(once(&old, directory.path()).status().expect("the exporter").success());
                assert_eq!(files(&output), before, "after step {step}");
            }
        }
        eprintln!("{kills} kills, {left_over} left something over; a whole run takes {whole:?}");
        assert!(kills >= 15, "only {kills} of 22 runs were still running when they were killed");
        assert!(left_over >= 5, "only {left_over} of 22 runs were killed while they wrote");

        assert!(once(&new, directory.path()).status().expect("the exporter").success());
        assert_eq!(files(&output), after);
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_every_mode_in_time_and_keeps_the_files() {
    let simulator = simulator(size(3_000, 10, 10), 1).await;
    tokio::task::spawn_blocking(move || {
        let directory = Directory::create("exporter").expect("a directory");
        assert!(once(&simulator, directory.path()).status().expect("the exporter").success());
        let before = files(&directory.path().join("out"));
        // 30 pages of a second each: an export is running whenever the signal comes.
        simulator.behave(Behaviour { latency_ms: 1_000, ..Behaviour::default() }).expect("a behaviour");
        for (number, (mode, code)) in [("--once", 1), ("--schedule=6h", 0)].into_iter().enumerate() {
            let asked = simulator.requests("/sync/history/movies");
            let command = program(&simulator.url(), directory.path(), &[mode]);
            let log = directory.path().join(format!("log-{number}"));
            let mut exporter =
                Daemon::start("exporter", command, &log, Readiness::Spawned).expect("the exporter");
            wait_until("a page of the history", Duration::from_secs(20), || {
                Ok((simulator.requests("/sync/history/movies") > asked).then_some(()))
            })
            .expect("an export");
            let start = Instant::now();
            let status = exporter.terminate().expect("an end");
            assert!(start.elapsed() < Duration::from_secs(10), "{mode}: {:?}", start.elapsed());
            assert_eq!(status.code(), Some(code), "{mode}: {}", testbed::log_tail(&log));
            assert_eq!(files(&directory.path().join("out")), before, "{mode}");
        }
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_exports_at_once_and_again_and_ends_at_once_when_idle() {
    let simulator = simulator(size(120, 10, 10), 1).await;
    tokio::task::spawn_blocking(move || {
        let directory = Directory::create("exporter").expect("a directory");
        let output = directory.path().join("out");
        let command = program(&simulator.url(), directory.path(), &["--schedule", "1s"]);
        let log = directory.path().join("log");
        let mut exporter =
            Daemon::start("exporter", command, &log, Readiness::Spawned).expect("the exporter");
        let exported = |what: &str| {
            let expected = expected(&simulator.account().expect("the account"));
            wait_until(what, Duration::from_secs(20), || {
                Ok((tables(&files(&output)) == expected).then_some(()))
            })
            .expect("the files");
        };
        exported("the first export");
        assert!(simulator.remove_film());
        exported("an export with the change");
        let start = Instant::now();
        let status = exporter.terminate().expect("an end");
        assert!(status.success(), "{status}");
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "an idle schedule took {:?} to end",
            start.elapsed()
        );
    })
    .await
    .expect("the test");
}

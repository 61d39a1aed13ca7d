//! Trakt in trouble, and an account that does not keep still.

use std::time::Duration;

use exporter::simulator::{Behaviour, Changes, RateLimit};

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_broken_connections_cost_time_and_nothing_else() {
    let simulator = simulator(size(2_500, 1_200, 300), 4).await;
    simulator
        .behave(Behaviour { error_rate: 0.2, drop_rate: 0.1, ..Behaviour::default() })
        .expect("a behaviour");
    let fixture = Fixture::new(&simulator);
    let report = fixture.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_exported(&fixture.output(), &simulator);
    // 25 pages and the first one again; nearly a third of them at least twice.
    let requests = simulator.requests("/sync/history/movies");
    assert!(requests > 30, "only {requests} requests: nothing went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_waited_for() {
    let simulator = simulator(size(500, 0, 0), 4).await;
    let rate_limit = Some(RateLimit { requests: 5, window_seconds: 1 });
    simulator.behave(Behaviour { rate_limit, ..Behaviour::default() }).expect("a behaviour");
    let fixture = Fixture::new(&simulator);
    let report = fixture.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_exported(&fixture.output(), &simulator);
    let (asked, needed) = (simulator.requests("/sync/history/movies"), 6);
    assert!(asked <= needed + 3, "{asked} requests for {needed} pages: Retry-After was not obeyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_answer_fails_its_part_at_once_and_keeps_the_last_good_file() {
    let simulator = simulator(size(250, 20, 20), 4).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    let good = files(&fixture.output());
    let requests = || ["/sync/history/movies", "/sync/last_activities"].map(|path| simulator.requests(path));
    let [history, activities] = requests();
    assert!(simulator.remove_film());
    simulator.behave(Behaviour { malformed_rate: 1.0, ..Behaviour::default() }).expect("a behaviour");
    let report = fixture.run().await;
    assert!(report.parts.iter().all(|part| part.error.is_some() && part.files.is_empty()), "{report:?}");
    let error = report.parts[0].error.clone().expect("an error");
    assert!(error.contains("is not what Trakt's API documents: as JSON: "), "{error}");
    assert!(error.contains("is TRAKT_URL right?"), "{error}");
    assert_eq!(
        requests(),
        [history, activities + 1],
        "a malformed answer was tried again, or went unnoticed"
    );
    assert_eq!(files(&fixture.output()), good);

    simulator.behave(Behaviour::default()).expect("a behaviour");
    assert!(fixture.run().await.is_success());
    assert_exported(&fixture.output(), &simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn films_added_and_removed_between_pages_are_neither_lost_nor_exported_twice() {
    for (additions, removals) in [(1, 0), (0, 1), (1, 1), (4, 4), (4, 0), (0, 4), (4, 2)] {
        for every in [1, 2, 3, 5, 8] {
            let simulator = simulator(size(1_050, 400, 10), every).await;
            let changes = Some(Changes { every, additions, removals });
            simulator.behave(Behaviour { changes, ..Behaviour::default() }).expect("a behaviour");
            let fixture = Fixture::new(&simulator);
            let report = fixture.run().await;
            assert!(report.is_success(), "{additions}, {removals}, {every}: {report:?}");
            assert_exported(&fixture.output(), &simulator);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_never_keeps_still_is_told_after_a_few_readings() {
    let simulator = simulator(size(450, 0, 0), 4).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    let good = files(&fixture.output());
    assert!(simulator.remove_film());
    let changes = Some(Changes { every: 2, additions: 1_000_000, removals: 0 });
    simulator.behave(Behaviour { changes, ..Behaviour::default() }).expect("a behaviour");
    let report = fixture.run().await;
    let failed: Vec<_> = report.parts.iter().filter_map(|part| part.error.clone()).collect();
    assert_eq!(failed.len(), 1, "{report:?}");
    assert!(failed[0].contains("the account changed during each of 5 readings"), "{failed:?}");
    assert_eq!(files(&fixture.output())["watched.csv"], good["watched.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_given_up_in_time() {
    let simulator = simulator(size(5, 5, 5), 4).await;
    simulator.behave(Behaviour { latency_ms: 20_000, ..Behaviour::default() }).expect("a behaviour");
    let directory = testbed::Directory::create("exporter").expect("a directory");
    let mut options = options(&simulator.url(), directory.path());
    options.patience.answer = Duration::from_millis(100);
    options.patience.total = Duration::from_millis(500);
    let exporter = exporter::export::Exporter::open(&options, &telemetry()).expect("an exporter");
    let start = std::time::Instant::now();
    let report = exporter.run(&exporter::export::Part::ALL).await;
    let error = report.parts[0].error.clone().expect("an error");
    assert!(error.contains("timed out") && error.contains("(tried "), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

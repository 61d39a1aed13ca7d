//! What is read from Trakt, and what is not.

use exporter::export::Exporter;
use exporter::simulator::Simulator;

use crate::common::*;

const PATHS: [&str; 3] = ["/sync/history/movies", "/sync/ratings/movies", "/sync/watchlist/movies"];

fn requests(simulator: &Simulator) -> [u64; 3] {
    PATHS.map(|path| simulator.requests(path))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_again_until_trakt_says_that_it_changed() {
    let simulator = simulator(size(250, 40, 30), 5).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    // Three pages and the first one again; datasets of one page need no second look.
    assert_eq!(requests(&simulator), [4, 1, 1]);
    assert!(fixture.run().await.is_success());
    assert_eq!(requests(&simulator), [4, 1, 1], "something was read twice");
    // Once for the look-up in each run, twice around the pages of the first.
    assert_eq!(simulator.requests("/sync/last_activities"), 4);

    assert!(simulator.remove_film());
    assert!(fixture.run().await.is_success());
    assert_eq!(requests(&simulator), [8, 1, 1], "only the history changed");
    assert_exported(&fixture.output(), &simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_outlives_the_process_and_belongs_to_one_account() {
    let simulator = simulator(size(50, 40, 30), 5).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    let Fixture { directory, exporter } = fixture;
    drop(exporter);

    let again =
        Exporter::open(&options(&simulator.url(), directory.path()), &telemetry()).expect("an exporter");
    assert!(again.run(&exporter::export::Part::ALL).await.is_success());
    assert_eq!(requests(&simulator), [1, 1, 1], "the second process read again");
    drop(again);

    let other = crate::common::simulator(size(20, 10, 5), 6).await;
    let exporter =
        Exporter::open(&options(&other.url(), directory.path()), &telemetry()).expect("an exporter");
    assert!(exporter.run(&exporter::export::Part::ALL).await.is_success());
    assert_exported(&directory.path().join("out"), &other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_cache_is_read_anew() {
    let simulator = simulator(size(50, 40, 30), 5).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    let file = fixture.directory.path().join("cache/history.json");
    let whole = std::fs::read_to_string(&file).expect("the cache");
    let mut reads = 1;
    for damaged in ["", "{}", "\0\0\0\0", &whole[..whole.len() / 2]] {
        std::fs::write(&file, damaged).expect("the damage");
        assert!(fixture.run().await.is_success());
        reads += 1;
        assert_eq!(requests(&simulator), [reads, 1, 1], "with {damaged:?}");
        assert_eq!(std::fs::read_to_string(&file).expect("the cache"), whole, "the cache was not mended");
        assert_exported(&fixture.output(), &simulator);
    }
}

//! Files and account, side by side.

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_the_account_whatever_its_size() {
    for films in [0, 1, 99, 100, 101, 5000] {
        let simulator = simulator(size(films, films / 2 + 1, films / 3), films).await;
        let fixture = Fixture::new(&simulator);
        let report = fixture.run().await;
        assert!(report.is_success(), "{films} films: {report:?}");
        assert_exported(&fixture.output(), &simulator);
        let counted: Vec<_> = report.parts.iter().map(|part| part.films as u64).collect();
        assert_eq!(counted, [films / 2 + 1, films, films / 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_more_than_a_megabyte_becomes_numbered_files_and_shrinks_again() {
    let large = simulator(size(20_000, 0, 0), 3).await;
    let fixture = Fixture::new(&large);
    let report = fixture.run().await;
    assert!(report.is_success(), "{report:?}");
    let names: Vec<_> = report.parts.iter().flat_map(|part| part.files.clone()).collect();
    assert_eq!(names, ["ratings.csv", "watched.csv", "watched-2.csv", "watchlist.csv"]);
    let files = files(&fixture.output());
    assert!(files.values().all(|text| text.len() <= 1_000_000));

    let mut tables = tables(&files);
    let second = tables.remove("watched-2.csv").expect("the second file");
    let first = tables.remove("watched.csv").expect("the first file");
    assert_eq!(first[0], second[0], "the header is not repeated");
    let joined: Vec<_> = first.into_iter().chain(second.into_iter().skip(1)).collect();
    let expected = expected(&large.account().expect("the account"));
    assert!(joined == expected["watched.csv"], "rows were lost or changed by the cut");

    let (directory, output) = (fixture.directory.path().to_owned(), fixture.output());
    drop(fixture.exporter);
    let small = simulator(size(10, 0, 0), 3).await;
    let exporter = exporter::export::Exporter::open(&options(&small.url(), &directory), &telemetry())
        .expect("an exporter");
    assert!(exporter.run(&exporter::export::Part::ALL).await.is_success());
    assert_exported(&output, &small);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_writes_the_same_bytes() {
    let simulator = simulator(size(300, 200, 50), 9).await;
    let fixture = Fixture::new(&simulator);
    fixture.run().await;
    let first = files(&fixture.output());
    assert!(fixture.run().await.is_success());
    assert_eq!(files(&fixture.output()), first);
}

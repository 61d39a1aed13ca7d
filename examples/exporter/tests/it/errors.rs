//! What people read when something is wrong: what, where, why, and what to do.

use std::path::Path;
use std::process::Command;

use testbed::Directory;

use crate::common::*;

struct Ended {
    code: Option<i32>,
    errors: String,
}

async fn end(mut command: Command) -> Ended {
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("the exporter");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let all = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
    assert!(!all.contains(TOKEN) && !all.contains("hush"), "a secret was printed: {all}");
    Ended { code: output.status.code(), errors }
}

fn assert_told(ended: &Ended, code: i32, messages: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.errors);
    for message in messages {
        assert!(ended.errors.contains(message), "{message:?} is not in: {}", ended.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_export_names_each_failed_part_and_what_to_do() {
    let simulator = simulator(size(10, 10, 10), 1).await;
    let directory = Directory::create("exporter").expect("a directory");

    let mut command = program(&simulator.url(), directory.path(), &["--once"]);
    command.env("TRAKT_ACCESS_TOKEN", "hush");
    let messages = [
        "error: export.movies: sync/",
        "error: export.ratings: sync/",
        "error: export.watchlist: sync/",
        "does not accept the access token (401); get a new one and set TRAKT_ACCESS_TOKEN",
    ];
    assert_told(&end(command).await, 1, &messages);
    assert!(files(&directory.path().join("out")).is_empty());
    // Ratings are needed twice, and asked for once; films without them are not asked for.
    let asked =
        ["ratings", "history", "watchlist"].map(|name| simulator.requests(&format!("/sync/{name}/movies")));
    assert_eq!(asked, [1, 0, 1], "401 was tried again");

    let elsewhere = format!("{}/elsewhere", simulator.url());
    let command = program(&elsewhere, directory.path(), &["--once"]);
    assert_told(&end(command).await, 1, &["/elsewhere (404); is TRAKT_URL right?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_trakt_is_tried_for_as_long_as_patience_lasts() {
    let directory = Directory::create("exporter").expect("a directory");
    // Bound and not listened on: nobody else gets the port, and it refuses.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    let command = program(&url, directory.path(), &["--once", "--patience", "1s"]);
    let ended = end(command).await;
    assert_told(
        &ended,
        1,
        &[
            &format!("cannot reach {url}: "),
            "Connection refused",
            "are TRAKT_URL and the network right?",
            "(tried ",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_says_what_to_change() {
    let simulator = simulator(size(10, 10, 10), 1).await;
    let directory = Directory::create("exporter").expect("a directory");
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").expect("a file");
    let broken = directory.path().join("broken.toml");
    std::fs::write(&broken, "[telemetry]\nservice_name = \"exporter-test\"\nsample_rate = 1.5\n")
        .expect("a file");

    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (below, missing, broken) =
        (text(&file.join("out")), text(&directory.path().join("none.toml")), text(&broken));
    let in_the_way = "a-file/out: cannot make it: Not a directory";
    type Case<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>, &'a [&'a str]);
    let cases: [Case<'_>; 8] = [
        (&[], Some(("TRAKT_ACCESS_TOKEN", "")), &["TRAKT_ACCESS_TOKEN is not set"]),
        (&[], Some(("TRAKT_CLIENT_ID", " ")), &["TRAKT_CLIENT_ID is not set"]),
        (&[], Some(("TRAKT_ACCESS_TOKEN", "hush\nhush")), &["TRAKT_ACCESS_TOKEN holds characters"]),
        (
            &["--trakt-url", "ftp://api.trakt.tv"],
            None,
            &["`ftp://api.trakt.tv`", "like https://api.trakt.tv"],
        ),
        (&["--output", &below], None, &[in_the_way, "may write to"]),
        (&["--cache", &below], None, &[in_the_way, "may write to"]),
        (&["--config", &missing], None, &["none.toml: No such file", "--config must name"]),
        (&["--config", &broken], None, &["broken.toml:3: telemetry.sample_rate: "]),
    ];
    for (arguments, variable, messages) in cases {
        let mut command = program(&simulator.url(), directory.path(), &[&["--once"], arguments].concat());
        command.envs(variable);
        assert_told(&end(command).await, 2, messages);
    }
    assert_eq!(simulator.requests("/sync/last_activities") + simulator.requests("/sync/ratings/movies"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_says_what_is_right() {
    let directory = Directory::create("exporter").expect("a directory");
    for (arguments, messages) in [
        (&[][..], ["nothing says when to export", "--schedule 6h"]),
        (&["--once", "--schedule", "6h"], ["exclude each other", "exactly one"]),
        (&["--schedule", "often"], ["'often'", "6h or 1h 30m"]),
        (&["serve", "--listen", "8082"], ["'8082'", "--listen <ADDRESS>"]),
    ] {
        let command = program("http://127.0.0.1:1", directory.path(), arguments);
        assert_told(&end(command).await, 2, &messages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exporters_do_not_share_a_directory() {
    let simulator = simulator(size(10, 10, 10), 1).await;
    let fixture = Fixture::new(&simulator);
    let command = program(&simulator.url(), fixture.directory.path(), &["--once"]);
    assert_told(&end(command).await, 2, &["/out: another exporter uses this directory"]);
}

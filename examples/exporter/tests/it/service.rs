//! `serve`, from a caller's request to Trakt's.

use std::time::{Duration, Instant};

use exporter::export::{Part, Report};
use exporter::simulator::{Behaviour, Simulator};
use reqwest::StatusCode;
use serde_json::Value;

use crate::common::*;

async fn serve(simulator: &Simulator) -> Service {
    let url = simulator.url();
    tokio::task::spawn_blocking(move || Service::start(&url, &[], &[])).await.expect("a thread")
}

async fn get(client: &reqwest::Client, url: String) -> (StatusCode, String) {
    let answer = client.get(url).send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("a text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_on_demand_answers_with_its_report_and_serves_its_files() {
    let simulator = simulator(size(150, 60, 20), 1).await;
    let service = serve(&simulator).await;
    let client = client();

    let (status, text) = get(&client, format!("{}/files/watched.csv", service.url)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("POST /exports makes it"), "{text}");

    let answer =
        client.post(format!("{}/exports?what=watchlist", service.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let report: Report = answer.json().await.expect("a report");
    assert_eq!(report.parts.iter().map(|part| part.what).collect::<Vec<_>>(), [Part::Watchlist]);

    let post = client.post(format!("{}/exports", service.url)).header("x-correlation-id", "order-66");
    let report: Report = post.send().await.expect("an answer").json().await.expect("a report");
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.correlation_id.as_deref(), Some("order-66"));
    assert_exported(&service.directory.path().join("out"), &simulator);
    let written = files(&service.directory.path().join("out"));
    for (name, text) in written {
        assert_eq!(get(&client, format!("{}/files/{name}", service.url)).await, (StatusCode::OK, text));
    }

    let (_, text) = get(&client, format!("{}/sim/requests", simulator.url())).await;
    let requests: Value = serde_json::from_str(&text).expect("JSON");
    let last = requests["latest"].as_array().expect("requests").last().expect("a request");
    assert_eq!(last["correlation_id"], "order-66");
    assert!(last["traceparent"].as_str().is_some_and(|text| text.len() == 55), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_served_are_told_why() {
    let simulator = simulator(size(150, 60, 20), 1).await;
    let service = serve(&simulator).await;
    let client = client();
    for (path, message) in [
        ("/exports?what=songs", "what=movies, ratings or watchlist"),
        ("/exports?who=me", "what=movies, ratings or watchlist"),
    ] {
        let answer = client.post(format!("{}{path}", service.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let text = answer.text().await.expect("a text");
        assert!(text.contains(message), "{text}");
    }
    for path in ["/files/.exporter.lock", "/files/..%2Flog", "/files/%2Fetc%2Fpasswd", "/elsewhere"] {
        let (status, text) = get(&client, format!("{}{path}", service.url)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(text.contains("watched.csv"), "{text}");
    }
    simulator.behave(Behaviour { malformed_rate: 1.0, ..Behaviour::default() }).expect("a behaviour");
    let answer = client.post(format!("{}/exports?what=movies", service.url)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let report: Report = answer.json().await.expect("a report");
    assert!(report.parts[0].error.as_ref().is_some_and(|error| error.contains("TRAKT_URL")), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_never_overlap_and_sigterm_ends_the_one_that_runs() {
    let simulator = simulator(size(3_000, 0, 0), 1).await;
    simulator.behave(Behaviour { latency_ms: 1_000, ..Behaviour::default() }).expect("a behaviour");
    let mut service = serve(&simulator).await;
    let client = client();
    let url = format!("{}/exports", service.url);
    let first = tokio::spawn(client.post(&url).send());
    let deadline = Instant::now() + Duration::from_secs(20);
    while simulator.requests("/sync/ratings/movies") == 0 {
        assert!(Instant::now() < deadline, "waited 20 s for the first export");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = client.post(&url).send().await.expect("an answer");
    assert_eq!(second.status(), StatusCode::CONFLICT);

    let ended = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let status = service.process.terminate().expect("an end");
        (status.code(), start.elapsed(), files(&service.directory.path().join("out")))
    });
    let (code, took, files) = ended.await.expect("a thread");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!files.contains_key("watched.csv"));
    let first = first.await.expect("a task").expect("an answer");
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
}

//! The simulator as people use it: over HTTP, and as a program.

use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::common::*;

async fn ask(client: &Client, method: Method, url: String, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn behaviour_is_changed_and_read_while_it_runs_and_nonsense_is_refused() {
    let simulator = simulator(size(10, 0, 0), 1).await;
    let client = client();
    let url = format!("{}/sim/behaviour", simulator.url());
    let (status, changed) =
        ask(&client, Method::PUT, url.clone(), Some(json!({"latency_ms": 3, "error_rate": 0.25}))).await;
    assert_eq!((status, &changed["error_rate"]), (StatusCode::OK, &json!(0.25)));
    assert_eq!(ask(&client, Method::GET, url.clone(), None).await.1, changed);
    for (body, message) in [
        (json!({"error_rate": 2}), "error_rate: 2 is no share; it must be 0 to 1"),
        (json!({"latency": 2}), "unknown field `latency`"),
        (json!({"rate_limit": {"requests": 1}}), "missing field `window_seconds`"),
    ] {
        let (status, answer) = ask(&client, Method::PUT, url.clone(), Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(message)), "{answer}");
    }
    assert_eq!(ask(&client, Method::GET, url, None).await.1, changed, "nonsense changed something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_added_is_in_the_account_and_in_the_next_export() {
    let simulator = simulator(size(10, 0, 0), 1).await;
    let fixture = Fixture::new(&simulator);
    assert!(fixture.run().await.is_success());
    let client = client();
    let url = format!("{}/sim/account/history", simulator.url());
    let film = json!({"title": "A \"new\", one", "year": 2024, "watched_at": "2031-05-01T23:30:00Z"});
    let (status, added) = ask(&client, Method::POST, url.clone(), Some(film)).await;
    assert_eq!((status, &added["movie"]["title"]), (StatusCode::CREATED, &json!("A \"new\", one")));
    let (status, answer) = ask(&client, Method::POST, url, Some(json!({"name": "x"}))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("unknown field `name`")), "{answer}");
    let (_, account) = ask(&client, Method::GET, format!("{}/sim/account", simulator.url()), None).await;
    assert_eq!(account["history"][0], added);

    assert!(fixture.run().await.is_success());
    assert_exported(&fixture.output(), &simulator);
    let rows = &tables(&files(&fixture.output()))["watched.csv"];
    assert_eq!(rows[11][5], "2031-05-01");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_the_required_headers_are_refused() {
    let simulator = simulator(size(10, 0, 0), 1).await;
    let client = client();
    let url = format!("{}/sync/history/movies", simulator.url());
    let version = ("trakt-api-version", "2");
    let key = ("trakt-api-key", "client");
    let token = ("authorization", "Bearer sim-token");
    for (headers, expected) in [
        (vec![version, key, token], 200),
        (vec![version, key], 401),
        (vec![version, key, ("authorization", "Bearer other")], 401),
        (vec![version, token], 403),
        (vec![key, token], 403),
        (vec![("trakt-api-version", "1"), key, token], 403),
    ] {
        let request =
            headers.iter().fold(client.get(&url), |request, (name, value)| request.header(*name, *value));
        assert_eq!(request.send().await.expect("an answer").status(), expected, "{headers:?}");
    }
}

#[test]
fn the_program_says_where_it_listens() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_trakt-sim"))
        .args(["--listen", "127.0.0.1:0", "--films", "7", "--ratings", "3", "--watchlist", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
    let answer = url.map(|url| testbed::http_get(&format!("{url}/sim/account")));
    child.kill().expect("an end");
    child.wait().expect("an end");
    let (status, body) = answer.expect("an address").expect("an answer");
    let account: Value = serde_json::from_str(&body).expect("JSON");
    let sizes = ["history", "ratings", "watchlist"].map(|name| account[name].as_array().map(Vec::len));
    assert_eq!((status, sizes), (200, [Some(7), Some(3), Some(2)]));
}

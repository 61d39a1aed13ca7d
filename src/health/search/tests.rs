//! What is asked and how often, by a server that answers as Prometheus does, or as an old one.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::post;
use serde_json::json;

use super::*;
use crate::health::ask::Asker;
use crate::metrics::Metrics;
use crate::validate::fixture;

const SPEC: &str = "
selector: {matchLabels: {app: x}}
service: {name: x}
metrics: {prometheus: Managed, instruments: [{name: a, type: Gauge}, {name: b, type: Gauge}, {name: c, type: Gauge},
    {name: d, type: Gauge}, {name: e, type: Gauge}]}
slos: [{name: fast, objective: '99', latency: {histogram: h, threshold: '0.3'}}]
";

/// The paths that were asked for.
type Asked = Arc<Mutex<Vec<String>>>;

/// A Prometheus that has these alternatives of every query, and these lists of names and values; none when it is too old.
async fn server(found: &'static [usize], list: Option<Vec<String>>) -> (Prometheus, Asked) {
    let asked = Asked::default();
    let note = |asked: &Asked| {
        let asked = Arc::clone(asked);
        move |uri: &Uri| asked.lock().unwrap().push(uri.path().trim_start_matches("/api/v1/").to_owned())
    };
    let (query, other) = (note(&asked), note(&asked));
    let answer = move |uri: Uri| {
        query(&uri);
        let samples =
            found.iter().map(|number| json!({"metric": {"found": number.to_string()}, "value": [0, "1"]}));
        let data = json!({"resultType": "vector", "result": samples.collect::<Vec<_>>()});
        async move { json!({"status": "success", "data": data}).to_string() }
    };
    let lists = move |uri: Uri| {
        other(&uri);
        let list = list.clone().map(|list| json!({"status": "success", "data": list}).to_string());
        async move { list.ok_or(StatusCode::NOT_FOUND) }
    };
    let routes = Router::new().route("/api/v1/query", post(answer)).fallback(lists);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (Prometheus { name: "P".to_owned(), url, managed: true }, asked)
}

async fn search(whom: &Prometheus) -> Sight<Report> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    let client = kube::Client::try_from(nowhere).expect("a client");
    let metrics = Metrics::new(&prometheus::Registry::new()).expect("metrics");
    let asker = Asker::new(client, metrics, true).expect("an asker");
    let subject = Subject::of(&fixture(SPEC)).expect("somebody to ask");
    let round = asker.round(std::iter::empty()).await.expect("a round");
    round.search(&subject, whom).await
}

fn causes(sight: Sight<Report>) -> (Vec<Cause>, usize) {
    let Sight::Seen { seen, .. } = sight else { panic!("{sight:?}") };
    (seen.missing.into_iter().map(|missing| missing.cause).collect(), seen.others)
}

#[tokio::test]
async fn one_query_is_enough_while_nothing_is_absent() {
    let (prometheus, asked) = server(&[0, 1, 2, 3, 4, 5, 6], None).await;
    assert_eq!(causes(search(&prometheus).await), (vec![], 0));
    assert_eq!(*asked.lock().unwrap(), ["query"]);
}

#[tokio::test]
async fn only_the_first_few_that_are_absent_are_looked_into() {
    let bounds = ["0.25", "0.5"].map(str::to_owned);
    let (prometheus, asked) = server(&[], Some(bounds.to_vec())).await;
    let (missing, others) = causes(search(&prometheus).await);
    assert_eq!(missing, [Cause::Name(vec![]), Cause::Name(vec![]), Cause::Name(vec![])]);
    assert_eq!(others, 3, "the bucket of a histogram that is absent does not count");
    assert_eq!(*asked.lock().unwrap(), ["query", "query", "label/__name__/values", "query", "query"]);

    let (prometheus, asked) = server(&[0, 2, 3, 4, 5, 6], Some(bounds.to_vec())).await;
    let bound = Cause::Bound("0.3".to_owned(), Some("0.25".to_owned()), Some("0.5".to_owned()));
    assert_eq!(causes(search(&prometheus).await), (vec![bound], 0));
    assert_eq!(*asked.lock().unwrap(), ["query", "label/le/values"]);
}

#[tokio::test]
async fn what_an_old_server_cannot_say_is_no_fault() {
    let (prometheus, _) = server(&[0, 2, 3, 4, 5, 6], None).await;
    assert_eq!(causes(search(&prometheus).await), (vec![Cause::Unknown], 0));
    let (prometheus, _) = server(&[], None).await;
    assert_eq!(causes(search(&prometheus).await).0[0], Cause::Unknown);
    let beside = Prometheus { url: format!("{}/elsewhere", prometheus.url), ..prometheus };
    assert_eq!(search(&beside).await, Sight::Nobody("P does not answer queries".to_owned()));
    // More than can be told in the same way twice.
    let (prometheus, _) = server(&[], Some(vec!["h_bucket".to_owned(); LIMIT])).await;
    assert_eq!(causes(search(&prometheus).await).0[0], Cause::Unknown);
}

//! One question to Prometheus' API. In: URL, path, query. Out: the typed answer, or one line that says why not and is the same
//! at each try. Talks to Prometheus.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::stable::{root_cause, stable};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer in bytes: the rules of some thousand profiles, in case the server does not know the filters.
const LARGEST: usize = 16 * 1024 * 1024;

/// The client for every Prometheus.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    /// One line.
    pub(crate) error: String,
    /// True when something answered, if not as it should.
    pub(crate) answered: bool,
    /// True when the server does not know the path: it is old, or only like a Prometheus.
    pub(crate) unknown_path: bool,
}

impl Failed {
    fn silent(error: String) -> Self {
        Self { error, answered: false, unknown_path: false }
    }
}

/// What every answer comes in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Http {
    /// No proxy, as to the API server: the addresses are the cluster's own. No redirects: an address that the
    /// administrator did not give is not asked.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let builder = || Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT);
        builder()
            .build()
            .or_else(|error| {
                // Only https needs them, and few clusters speak that inside.
                tracing::warn!(%error, "no CA certificates on this system: https://... for Prometheus will fail");
                builder().tls_certs_only([]).build()
            })
            .map(Self)
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failed> {
        answer(self.0.get(url(base, path, query)?)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Failed> {
        let mut url = url(base, path, form)?;
        let body = url.query().unwrap_or_default().to_owned();
        url.set_query(None);
        let request = self.0.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        answer(request.body(body)).await
    }
}

fn url(base: &str, path: &str, query: &[(&str, &str)]) -> Result<Url, Failed> {
    Url::parse_with_params(&format!("{base}/api/v1/{path}"), query)
        .map_err(|error| Failed::silent(format!("this is no URL: {error}")))
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Failed> {
    let mut response = request.send().await.map_err(|error| root(&error))?;
    let status = response.status();
    if !status.is_success() {
        let note = if status.is_redirection() { ", and redirects are not followed" } else { "" };
        let unknown_path = status == StatusCode::NOT_FOUND;
        return Err(Failed { error: format!("HTTP {status}{note}"), answered: true, unknown_path });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| root(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            let error = format!("the answer has more than {LARGEST} bytes");
            return Err(Failed { error, answered: true, unknown_path: false });
        }
    }
    serde_json::from_slice::<Envelope<T>>(&body).map(|envelope| envelope.data).map_err(|error| Failed {
        error: format!("this is not an answer of Prometheus' API: {error}"),
        answered: true,
        unknown_path: false,
    })
}

fn root(error: &reqwest::Error) -> Failed {
    if error.is_timeout() {
        return Failed::silent(format!("no answer within {} s", TIMEOUT.as_secs()));
    }
    Failed::silent(stable(&root_cause(error)))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;

    /// A server with a good answer and some bad ones.
    async fn server() -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let routes = Router::new()
            .route("/p/api/v1/good", get(|| async { json!({"status": "success", "data": 7}).to_string() }))
            .route("/p/api/v1/elsewhere", get(|| async { Redirect::temporary("/p/api/v1/good") }))
            .route("/p/api/v1/page", get(|| async { "<html>" }))
            .route("/p/api/v1/large", get(|| async { vec![b' '; LARGEST + 1] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}/p")
    }

    #[tokio::test]
    async fn bad_answers_are_told_in_one_line() {
        let base = server().await;
        let http = Http::new().expect("a client");
        let ask = async |path| http.get::<Value>(&base, path, &[("a[]", "b/c d")]).await;
        assert_eq!(ask("good").await.expect("an answer"), 7);
        for (path, error) in [
            ("elsewhere", "HTTP 307 Temporary Redirect, and redirects are not followed"),
            ("nothing", "HTTP 404 Not Found"),
            ("page", "this is not an answer of Prometheus' API: "),
            ("large", "the answer has more than 16777216 bytes"),
        ] {
            let failed = ask(path).await.expect_err("a failure");
            assert!(failed.error.starts_with(error), "{path}: {failed:?}");
            assert!(failed.answered, "{path}: {failed:?}");
            assert_eq!(failed.unknown_path, path == "nothing");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let failed = Http::new().expect("a client").get::<Value>(&base, "targets", &[]).await;
        let failed = failed.expect_err("a failure");
        assert_eq!(failed.error, "Connection refused (os error 111)");
        assert!(!failed.answered);
    }
}

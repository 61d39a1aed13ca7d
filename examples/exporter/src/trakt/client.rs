//! One request to Trakt, as often as it takes. In: an endpoint and a page. Out: what it holds. Talks to Trakt; every attempt
//! is a span and a measurement of its own.

use std::fmt;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use telemetry::{Counter, KeyValue, TelemetryManager, inject_headers, record_http_status};
use tracing::warn;

use super::error::chain;
use super::{Activities, Dataset, Listed, Rating, TraktError, Watch};
use crate::metrics;

const ACTIVITIES: &str = "sync/last_activities";
/// Items a page. Trakt allows 250.
const PAGE_SIZE: u32 = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Which account, and how to get in.
#[derive(Clone)]
pub struct Access {
    /// The API's address, as in `https://api.trakt.tv`.
    pub url: String,
    /// The application's client id.
    pub client_id: String,
    /// The user's access token.
    pub access_token: String,
}

/// Without the secrets: this may end up in a log line.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one request is tried again before it counts as failed.
    pub total: Duration,
    /// The pause before the first retry. Each further one is about twice as long, up to 30 s.
    pub first_pause: Duration,
    /// How long one attempt may take.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(300),
            first_pause: Duration::from_millis(250),
            answer: Duration::from_secs(30),
        }
    }
}

/// The API of one account.
#[derive(Debug)]
pub struct Trakt {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
    patience: Patience,
    telemetry: TelemetryManager,
    rate_limited: Counter,
}

/// One page, and what its headers say about all of them.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) pages: u32,
    pub(super) total: usize,
}

impl Trakt {
    /// A client for one account; connects when it is used.
    ///
    /// # Errors
    /// An address or a credential that cannot be right.
    pub fn new(
        access: &Access,
        patience: Patience,
        telemetry: &TelemetryManager,
    ) -> Result<Self, TraktError> {
        // A second one is refused, which is fine: then there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("export-trakt-4-letterboxd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(patience.answer)
            .build()
            .map_err(|error| TraktError::Client(chain(&error)))?;
        let rate_limited = telemetry.counter(
            metrics::RATE_LIMITED,
            "{request}",
            "Requests that Trakt put off by its rate limit",
        );
        for endpoint in [ACTIVITIES, Watch::ENDPOINT, Rating::ENDPOINT, Listed::ENDPOINT] {
            // Exposed before the first one: a rate cannot be told from a series that begins with it.
            rate_limited.add(0, &[KeyValue::new("endpoint", endpoint)]);
        }
        Ok(Self {
            http,
            url: address(&access.url)?,
            headers: headers(access)?,
            patience,
            telemetry: telemetry.clone(),
            rate_limited,
        })
    }

    /// When the account changed last.
    ///
    /// # Errors
    /// Trakt cannot be reached, or does not give it.
    pub async fn activities(&self) -> Result<Activities, TraktError> {
        Ok(self.get(ACTIVITIES, None).await?.0)
    }

    /// One page, from 1.
    pub(super) async fn page<T>(&self, endpoint: &'static str, number: u32) -> Result<Page<T>, TraktError>
    where
        T: DeserializeOwned,
    {
        let (items, headers) = self.get(endpoint, Some(number)).await?;
        let count = |name: &str| -> Result<u32, TraktError> {
            let value = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
            value.ok_or_else(|| self.malformed(endpoint, &format!("it has no usable header {name}")))
        };
        let total = count("x-pagination-item-count")? as usize;
        Ok(Page { items, pages: count("x-pagination-page-count")?, total })
    }

    async fn get<T>(&self, endpoint: &'static str, page: Option<u32>) -> Result<(T, HeaderMap), TraktError>
    where
        T: DeserializeOwned,
    {
        let start = Instant::now();
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            self.attempt(endpoint, page)
        };
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.patience.first_pause)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter();
        let outcome = attempt
            .retry(pauses)
            .when(TraktError::may_pass)
            .adjust(|error, pause| {
                let pause = pause?.max(error.wait());
                (start.elapsed() + pause <= self.patience.total).then_some(pause)
            })
            .notify(|error, pause| warn!(%error, pause_seconds = pause.as_secs_f64(), "trying again"))
            .await;
        outcome.map_err(|last| match attempts {
            1 => last,
            _ => TraktError::GaveUp { last: Box::new(last), attempts, after: start.elapsed() },
        })
    }

    async fn attempt<T>(
        &self,
        endpoint: &'static str,
        page: Option<u32>,
    ) -> Result<(T, HeaderMap), TraktError>
    where
        T: DeserializeOwned,
    {
        let query = page.map_or(String::new(), |page| format!("?page={page}&limit={PAGE_SIZE}"));
        let request = self.http.get(format!("{}/{endpoint}{query}", self.url));
        let call = async {
            let mut headers = self.headers.clone();
            inject_headers(&mut headers);
            let unreachable = |error: reqwest::Error| TraktError::Connection {
                endpoint,
                url: self.url.clone(),
                reason: chain(&error.without_url()),
            };
            let answer = request.headers(headers).send().await.map_err(unreachable)?;
            let status = answer.status();
            record_http_status(status.as_u16());
            if status == reqwest::StatusCode::TOO_MANY_REQUESTS {
                self.rate_limited.add(1, &[KeyValue::new("endpoint", endpoint)]);
            }
            TraktError::of_status(endpoint, &self.url, status, answer.headers())?;
            let headers = answer.headers().clone();
            let body = answer.bytes().await.map_err(unreachable)?;
            let value = serde_json::from_slice(&body)
                .map_err(|error| self.malformed(endpoint, &format!("as JSON: {error}")))?;
            Ok((value, headers))
        };
        self.telemetry.instrument_api_call(endpoint, "GET", call).await
    }

    fn malformed(&self, endpoint: &'static str, reason: &str) -> TraktError {
        TraktError::Malformed { endpoint, url: self.url.clone(), reason: reason.to_owned() }
    }
}

/// The address without a slash at its end.
fn address(text: &str) -> Result<String, TraktError> {
    let wrong = |reason: String| TraktError::Address { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        let url = "…".to_owned();
        return Err(TraktError::Address { url, reason: "it holds a user name or a password".to_owned() });
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it is not an http or https address".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment".to_owned()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn headers(access: &Access) -> Result<HeaderMap, TraktError> {
    let client_id = credential("TRAKT_CLIENT_ID", &access.client_id, "")?;
    let token = credential("TRAKT_ACCESS_TOKEN", &access.access_token, "Bearer ")?;
    Ok(HeaderMap::from_iter([
        (HeaderName::from_static("trakt-api-version"), HeaderValue::from_static("2")),
        (HeaderName::from_static("trakt-api-key"), client_id),
        (AUTHORIZATION, token),
    ]))
}

fn credential(variable: &'static str, text: &str, before: &str) -> Result<HeaderValue, TraktError> {
    let text = text.trim();
    if text.is_empty() {
        let reason = "is not set; Trakt gives client ids and tokens at https://trakt.tv/oauth/applications";
        return Err(TraktError::Credential { variable, reason });
    }
    let mut value = HeaderValue::from_str(&format!("{before}{text}")).map_err(|_| {
        let reason = "holds characters that cannot be sent, such as a line break; set it to the bare value";
        TraktError::Credential { variable, reason }
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_holds_no_secret() {
        assert_eq!(address("https://api.trakt.tv/").unwrap(), "https://api.trakt.tv");
        assert_eq!(address("http://proxy:8080/trakt/").unwrap(), "http://proxy:8080/trakt");
        for (text, reason) in [
            ("api.trakt.tv", "relative URL without a base"),
            ("ftp://api.trakt.tv", "not an http or https address"),
            ("https://api.trakt.tv?key=1", "a query"),
            ("https://me:hush@api.trakt.tv", "a user name or a password"),
        ] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn credentials_are_neither_printed_nor_accepted_with_a_line_break() {
        let access = Access {
            url: "https://api.trakt.tv".into(),
            client_id: "the-id".into(),
            access_token: " the-token\n".into(),
        };
        let printed = format!("{access:?} {:?}", headers(&access).unwrap());
        assert!(!printed.contains("the-id") && !printed.contains("the-token"), "{printed}");
        let error = credential("TRAKT_CLIENT_ID", "a\nb", "").unwrap_err().to_string();
        assert!(error.starts_with("TRAKT_CLIENT_ID holds characters"), "{error}");
        let error = credential("TRAKT_ACCESS_TOKEN", " ", "Bearer ").unwrap_err().to_string();
        assert!(error.starts_with("TRAKT_ACCESS_TOKEN is not set"), "{error}");
    }
}

//! In: the URL of an endpoint. Out: a gRPC channel or an HTTP client that connect when they are used, and again after each
//! loss. Their work is done in the background; whoever waits for it needs no runtime.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::HttpError;
use opentelemetry_otlp::ExporterBuildError;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};

use crate::error::chain;

/// Where packets are dropped and not refused, the kernel would go on trying for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection whose other end went away without a word is given up after this time, and not after a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// An answer of OTLP has a few bytes. What has more is not one.
const LONGEST_ANSWER: usize = 1 << 20;

/// A channel to `url` that lives in the background.
pub(super) fn channel(url: &str, background: &Handle) -> Result<Channel, ExporterBuildError> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| {
        ExporterBuildError::InvalidConfiguration(format!("endpoint `{url}`: {}", chain(&error)))
    })?;
    // The channel starts a task at once.
    let _background = background.enter();
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_with_connector_lazy(connector()))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    connector
}

/// Sends the requests of OTLP over HTTP/1.1.
#[derive(Debug)]
pub(super) struct HttpClient {
    pool: Client<HttpConnector, Full<Bytes>>,
    background: Handle,
    timeout: Duration,
    /// Why the last request failed: the exporter of OTLP keeps it to itself.
    failure: Mutex<Option<String>>,
}

impl HttpClient {
    pub(super) fn new(background: Handle, timeout: Duration) -> Self {
        let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector());
        Self { pool, background, timeout, failure: Mutex::default() }
    }

    /// Why the last request failed, once.
    pub(super) fn take_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (pool, timeout) = (self.pool.clone(), self.timeout);
        let exchange = async move {
            let (head, body) = pool.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        self.background.spawn(async move { tokio::time::timeout(timeout, exchange).await }).await??
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for HttpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.exchange(request).await;
        let failure = result.as_ref().err().map(|error| chain(error.as_ref()));
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        result
    }
}

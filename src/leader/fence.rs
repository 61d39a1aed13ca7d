//! Lets writes through only while this process holds the Lease by its own clock. In: requests of the client. Out: the same, or an
//! error instead of a write. No cluster.
//!
//! A process that was stopped for a minute goes on where it was, with reconciles in hand: what they send comes to this fence before
//! the process has found out that it leads no longer.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tokio::time::Instant;
use tower::retry::RetryLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder};

use super::Timing;
use crate::metrics::{CountLayer, Metrics};

/// Until when may be written.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// There is no election.
    Always,
    /// Never, for the time being.
    Never,
    At(Instant),
}

/// The fence of a process; its clones are the same fence.
#[derive(Clone, Debug)]
pub struct Fence(Arc<RwLock<Until>>);

/// A client that writes only while the fence is open, and whose requests are counted. What is tried again comes to the fence again,
/// too.
///
/// The kernel goes on sending what a process has written before it ended: after a partition such a write would reach the API server
/// when another replica leads. So it is given up after `Timing::unsent`. The rest is as in the library's own client.
///
/// # Errors
/// When the cluster's address or credentials cannot be used.
pub fn client(
    config: &Config,
    fence: &Fence,
    timing: Timing,
    metrics: &Metrics,
) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_tcp_user_timeout(Some(timing.unsent()));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(FenceLayer(fence.clone()))
        .layer(CountLayer(metrics.clone()))
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// A write that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("not written: this process does not hold the Lease of its installation")]
pub struct Fenced;

impl Fence {
    /// A fence that is open for ever: this process is the only one.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(RwLock::new(Until::Always)))
    }

    /// A fence that is closed until the Lease is held.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(RwLock::new(Until::Never)))
    }

    /// Opens it until `deadline`.
    pub(super) fn open_until(&self, deadline: Instant) {
        self.set(Until::At(deadline));
    }

    /// Closes it.
    pub(super) fn close(&self) {
        self.set(Until::Never);
    }

    fn set(&self, until: Until) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_open(&self) -> bool {
        match *self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Until::Always => true,
            Until::Never => false,
            Until::At(deadline) => Instant::now() < deadline,
        }
    }
}

/// Puts a fence around the service of a client.
#[derive(Clone, Debug)]
pub(super) struct FenceLayer(pub(super) Fence);

/// A service behind a fence.
#[derive(Clone, Debug)]
pub(super) struct Behind<S> {
    inner: S,
    fence: Fence,
}

impl<S> Layer<S> for FenceLayer {
    type Service = Behind<S>;

    fn layer(&self, inner: S) -> Behind<S> {
        Behind { inner, fence: self.0.clone() }
    }
}

impl<S, B> Service<Request<B>> for Behind<S>
where
    S: Service<Request<B>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads || self.fence.is_open() {
            Either::Right(self.inner.call(request))
        } else {
            Either::Left(ready(Err(Fenced.into())))
        }
    }
}

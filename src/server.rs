//! The operator's own HTTP: `/healthz`, `/readyz`, `/metrics`. In: what the controller knows. Out: answers. No cluster.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::controller::View;
use crate::metrics::Metrics;

/// What the handlers read.
#[derive(Clone)]
struct Shared {
    view: Arc<View>,
    metrics: Metrics,
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Serving failed.
    #[error("the HTTP server failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// Binds `address`; serving starts when the returned future is polled, and ends when `stop` resolves.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(
    address: SocketAddr,
    view: Arc<View>,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = Result<(), ServerError>> + Send, ServerError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "serving /healthz, /readyz and /metrics");
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Shared { view, metrics });
    Ok(
        async move {
            axum::serve(listener, router).with_graceful_shutdown(stop).await.map_err(ServerError::Serve)
        },
    )
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let waiting = shared.view.waiting_for();
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting.join(", ")))
    }
}

async fn metrics_text(State(shared): State<Shared>) -> (StatusCode, String) {
    shared.metrics.set_profiles_served(shared.view.profiles_served());
    match shared.metrics.render(&shared.view.conditions(), &shared.view.pods()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

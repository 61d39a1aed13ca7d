//! `run`: the operator as a process. In: arguments, KUBECONFIG or the pod's account. Out: an operator that runs until
//! SIGTERM or SIGINT and then ends in order. Talks to the cluster.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::{Client, Config};
use telemetry::{TelemetryConfig, TelemetryManager};
use tokio::sync::watch;

use crate::controller::{self, Tools, View};
use crate::health::ask::Asker;
use crate::inject::WEBHOOK;
use crate::metrics::Metrics;
use crate::observe::Capabilities;
use crate::observed::WebhookState;
use crate::server::{self, ServerError};
use crate::settings::Settings;
use crate::shutdown::{stop_signal, stopped};
use crate::webhook::certificates::Timing;
use crate::webhook::{Service, ServiceName, Webhook};

/// How long reconciles in hand may take after a signal. With the spans' time it stays below 10 s.
const DRAIN: Duration = Duration::from_secs(6);
/// How long the last spans may take.
const FLUSH: Duration = Duration::from_secs(3);

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Namespace to work in; may be repeated. Left out: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    watch_namespace: Vec<String>,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address of the webhook, where pods get their sidecar by it.
    #[arg(long, env = "WEBHOOK_LISTEN", default_value = "0.0.0.0:9443")]
    webhook_listen: SocketAddr,
    /// Service by which the API server reaches the webhook, as NAME or NAME:PORT, in the operator's namespace (POD_NAMESPACE). Its
    /// Secret and its MutatingWebhookConfiguration have the same name.
    #[arg(long, env = "WEBHOOK_SERVICE", default_value = WEBHOOK)]
    webhook_service: ServiceName,
    /// OTLP endpoint for the operator's own traces and logs, for example http://collector:4317. Left out: none are sent.
    /// The standard OTEL_* variables go before it.
    #[arg(long)]
    otlp_endpoint: Option<String>,
    /// What is logged, for example info or telemetry_operator=debug,info.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    log_filter: String,
    /// Form of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    log_format: Format,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Text,
}

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// TLS is set up twice.
    #[error("a TLS provider is installed already")]
    Tls,
    /// Telemetry cannot be set up.
    #[error("telemetry: {0}")]
    Telemetry(#[from] telemetry::TelemetryError),
    /// There is no way to the cluster.
    #[error("no cluster: {0}; set KUBECONFIG, or run in a pod with a service account")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("the cluster's address or credentials cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// No HTTP client can be made.
    #[error("no HTTP client for asking Prometheus: {0}")]
    Http(#[from] reqwest::Error),
    /// An instrument cannot be made.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The HTTP server fails.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs the operator until it is told to stop.
pub(super) fn run(args: RunArgs) -> Result<(), RunError> {
    // Two providers in one process, or none, fail at the first connection: choose before anything else.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| RunError::Tls)?;
    // The span exporter blocks a worker at times: one worker alone could wait for itself.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let telemetry = TelemetryManager::new(TelemetryConfig {
            service_name: env!("CARGO_PKG_NAME").to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            jaeger_endpoint: args.otlp_endpoint.clone(),
            // The operator's own server answers for /metrics: only it knows the profiles.
            prometheus_enabled: false,
            structured_format: args.log_format == Format::Json,
            log_filter: args.log_filter.clone(),
            ..TelemetryConfig::default()
        })?;
        telemetry.install_global()?;
        let result = operate(args, &telemetry).await;
        if let Err(error) = &result {
            tracing::error!(%error, "the operator ends");
        }
        // Lost spans are no reason to fail: they are all that a dead endpoint costs.
        if let Err(error) = telemetry.shutdown(FLUSH).await {
            tracing::warn!(%error, "the last spans were not delivered");
        }
        result
    })
}

async fn operate(args: RunArgs, telemetry: &TelemetryManager) -> Result<(), RunError> {
    let stop = stop_signal().map_err(RunError::Signals)?;
    let client = Client::try_from(Config::infer().await?)?;
    let metrics = Metrics::new(telemetry.registry())?;
    let (capabilities, discovery) = Capabilities::start(client.clone(), args.settings.clone()).await;
    let (webhook_state, webhook_seen) = watch::channel(WebhookState::Starting);
    let scopes = args.watch_namespace.len().max(1);
    let view = Arc::new(View::new(capabilities.clone(), webhook_seen.clone(), scopes));
    let server = server::bind(args.listen, Arc::clone(&view), metrics.clone(), stopped(stop.clone())).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "telemetry-operator starts");
    let asker = Asker::new(client.clone(), metrics.clone())?;
    let webhook =
        webhook(&args, &client, &view, &metrics).run(capabilities.changes(), webhook_state, stop.clone());
    let tools =
        Tools { client, settings: args.settings, capabilities, metrics, asker, webhook: webhook_seen };
    let controller = controller::run(tools, args.watch_namespace, view, stop.clone());
    let drained = async {
        tokio::select! {
            () = controller => tracing::info!("every reconcile in hand is finished"),
            () = after(stopped(stop), DRAIN) => tracing::warn!("reconciles in hand took too long and were left"),
        }
    };
    tokio::select! {
        result = async { tokio::join!(server, drained, webhook).0 } => result?,
        () = discovery => {}
    }
    Ok(())
}

fn webhook(args: &RunArgs, client: &Client, view: &Arc<View>, metrics: &Metrics) -> Webhook {
    let ServiceName { name, port } = args.webhook_service.clone();
    let namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| client.default_namespace().to_owned());
    let view = Arc::clone(view);
    Webhook {
        client: client.clone(),
        service: Service { name, namespace, port },
        listen: args.webhook_listen,
        timing: Timing::default(),
        profiles: Arc::new(move || view.profiles()),
        settings: args.settings.clone(),
        metrics: metrics.clone(),
    }
}

async fn after(event: impl Future<Output = ()>, wait: Duration) {
    event.await;
    tokio::time::sleep(wait).await;
}

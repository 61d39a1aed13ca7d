//! `run`: the operator as a process. In: arguments, KUBECONFIG or the pod's account. Out: an operator that runs until
//! SIGTERM or SIGINT and then ends in order. Talks to the cluster.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::{Client, Config};
use telemetry::{TelemetryConfig, TelemetryManager};
use tokio::sync::watch;

use crate::controller::{self, Tools, View};
use crate::health::ask::Asker;
use crate::leader::{self, Election, Fence, LeaderError, Role};
use crate::metrics::Metrics;
use crate::observe::Capabilities;
use crate::observed::WebhookState;
use crate::server::{self, ServerError};
use crate::settings::Settings;
use crate::shutdown::{stop_signal, stopped};
use crate::webhook::certificates::Timing;
use crate::webhook::{Service, Webhook};

/// How long reconciles in hand may take after a signal. With the spans' time it stays below 10 s.
const DRAIN: Duration = Duration::from_secs(6);
/// How long the last spans may take.
const FLUSH: Duration = Duration::from_secs(3);

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address of the webhook, where pods get their sidecar by it.
    #[arg(long, env = "WEBHOOK_LISTEN", default_value = "0.0.0.0:9443")]
    webhook_listen: SocketAddr,
    /// Port of the Service by which the API server reaches the webhook. The Service is in the operator's namespace (POD_NAMESPACE).
    #[arg(long, env = "WEBHOOK_PORT", default_value_t = 443)]
    webhook_port: u16,
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
    /// Work only while holding the Lease of the installation's name in the operator's namespace (POD_NAMESPACE). Replicas that do
    /// not hold it stand by and serve the webhook. Left out: this process is the only one.
    #[arg(long, env = "LEADER_ELECTION")]
    leader_election: bool,
    /// How long the Lease lives without being renewed, in seconds. Its holder gives up after two thirds.
    #[arg(long, env = "LEASE_DURATION", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(5..=600))]
    lease_duration: u16,
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
    /// The Lease is lost.
    #[error(transparent)]
    Leader(#[from] LeaderError),
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
    let metrics = Metrics::new(telemetry.registry())?;
    let identity = leader::identity();
    let mut config = Config::infer().await?;
    // The API server's audit log tells replicas apart by it.
    config.headers.push((USER_AGENT, user_agent(&identity)));
    let fence = if args.leader_election { Fence::closed() } else { Fence::open() };
    let client = leader::client(&config, &fence, lease(&args), &metrics)?;
    let (role, roles) = watch::channel(if args.leader_election { Role::Unknown } else { Role::Leads });
    metrics.set_leader(!args.leader_election);
    let (capabilities, discovery) = Capabilities::start(client.clone(), args.settings.clone()).await;
    let (webhook_state, webhook_seen) = watch::channel(WebhookState::Starting);
    let scopes = args.settings.watch_namespace.len().max(1);
    let view = Arc::new(View::new(capabilities.clone(), webhook_seen.clone(), scopes));
    let server = server::bind(args.listen, Arc::clone(&view), metrics.clone(), stopped(stop.clone())).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "telemetry-operator starts");
    let asker = Asker::new(client.clone(), metrics.clone(), args.settings.watch_namespace.is_empty())?;
    let webhook = webhook(&args, &client, &view, &metrics, roles.clone()).run(
        capabilities.changes(),
        webhook_state,
        stop.clone(),
    );
    let (done, finished) = watch::channel(false);
    let election = election(&args, config, identity, fence, &metrics)?;
    let election = async {
        match election {
            Some(election) => election.run(role, finished).await.map_err(RunError::from),
            None => Ok(()),
        }
    };
    let tools = Tools {
        client,
        settings: args.settings,
        capabilities,
        metrics,
        asker,
        webhook: webhook_seen,
        role: roles,
    };
    let controller = controller::run(tools, view, stop.clone());
    let drained = async {
        tokio::select! {
            () = controller => tracing::info!("every reconcile in hand is finished"),
            () = after(stopped(stop), DRAIN) => tracing::warn!("reconciles in hand took too long and were left"),
        }
    };
    let work = async {
        let result = tokio::join!(server, drained, webhook).0;
        // Now nothing is in hand any more: another replica may begin.
        done.send_replace(true);
        result.map_err(RunError::from)
    };
    tokio::select! {
        result = async { tokio::try_join!(work, election) } => result.map(drop),
        () = discovery => Ok(()),
    }
}

/// The operator's namespace.
fn own_namespace(default: &str) -> String {
    std::env::var("POD_NAMESPACE").unwrap_or_else(|_| default.to_owned())
}

fn user_agent(identity: &str) -> HeaderValue {
    let text = format!("telemetry-operator/{} ({identity})", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("telemetry-operator"))
}

fn lease(args: &RunArgs) -> leader::Timing {
    leader::Timing { lease: Duration::from_secs(args.lease_duration.into()) }
}

fn election(
    args: &RunArgs,
    config: Config,
    identity: String,
    fence: Fence,
    metrics: &Metrics,
) -> Result<Option<Election>, RunError> {
    if !args.leader_election {
        return Ok(None);
    }
    let namespace = own_namespace(&config.default_namespace);
    let name = (namespace.as_str(), args.settings.installation.name());
    Ok(Some(Election::new(Client::try_from(config)?, name, identity, lease(args), fence, metrics.clone())))
}

fn webhook(
    args: &RunArgs,
    client: &Client,
    view: &Arc<View>,
    metrics: &Metrics,
    role: watch::Receiver<Role>,
) -> Webhook {
    let (name, port) = (args.settings.installation.webhook(), args.webhook_port);
    let namespace = own_namespace(client.default_namespace());
    let view = Arc::clone(view);
    Webhook {
        client: client.clone(),
        service: Service { name, namespace, port },
        listen: args.webhook_listen,
        timing: Timing::default(),
        profiles: Arc::new(move || view.profiles()),
        settings: args.settings.clone(),
        metrics: metrics.clone(),
        role,
    }
}

async fn after(event: impl Future<Output = ()>, wait: Duration) {
    event.await;
    tokio::time::sleep(wait).await;
}

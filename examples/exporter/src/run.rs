//! The process from its start to its end. In: the command line. Out: an exit code. Talks to Trakt, to the endpoint of the
//! telemetry, and listens for scrapes and, with `serve`, for requests, all through other modules.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use telemetry::{ConfigError, CorrelationId, TelemetryConfig, TelemetryError, TelemetryManager};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli::{Cli, Mode};
use crate::export::{ExportError, Exporter, Options, Part};
use crate::stop::Stop;
use crate::trakt::Patience;
use crate::{schedule, serve};

/// After the grace of `stop` and the last answers of `serve`, this and the next make less than the ten seconds that the
/// process has.
const FLUSH: Duration = Duration::from_secs(3);
/// For file operations that cannot be interrupted.
const LAST_WRITES: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{}: {source}; --config must name the file with the [telemetry] tables", .path.display())]
    ConfigFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the process cannot be set up: {0}")]
    Process(#[from] io::Error),
}

/// Does what the command line says, to the end.
pub fn run(cli: Cli) -> ExitCode {
    let mode = match cli.mode() {
        Ok(mode) => mode,
        Err(error) => error.exit(),
    };
    match start(&cli, mode) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(2)
        }
    }
}

fn start(cli: &Cli, mode: Mode) -> Result<bool, RunError> {
    let config = config(cli)?;
    let options = Options {
        access: cli.access(|name| std::env::var_os(name)),
        patience: Patience { total: cli.patience, ..Patience::default() },
        output: cli.output.clone(),
        cache: cli.cache.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let telemetry = TelemetryManager::new(config)?;
        telemetry.install_global()?;
        let outcome = work(mode, &options, &telemetry).await;
        if let Err(error) = telemetry.shutdown(FLUSH).await {
            warn!(%error, "telemetry is incomplete");
        }
        outcome
    });
    runtime.shutdown_timeout(LAST_WRITES);
    outcome
}

fn config(cli: &Cli) -> Result<TelemetryConfig, RunError> {
    let mut config = match &cli.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| RunError::ConfigFile { path: path.clone(), source })?;
            TelemetryConfig::from_toml(&path.to_string_lossy(), &text)?.config
        }
        None => TelemetryConfig {
            service_name: "export-trakt-4-letterboxd".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..TelemetryConfig::default()
        },
    };
    config.log_filter.clone_from(&cli.log_filter);
    Ok(config)
}

/// Whether all went well.
async fn work(mode: Mode, options: &Options, telemetry: &TelemetryManager) -> Result<bool, RunError> {
    let stop = Stop::on_signals()?;
    let exporter = Exporter::open(options, telemetry)?;
    match mode {
        Mode::Once => Ok(once(&exporter, &stop).await),
        Mode::Schedule(every) => {
            schedule::run(&exporter, every, &stop).await;
            Ok(true)
        }
        Mode::Serve(address) => {
            let listen = |source| RunError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            info!(address = %listener.local_addr().map_err(listen)?, "serving");
            serve::run(exporter, listener, stop).await.map_err(listen)?;
            Ok(true)
        }
    }
}

async fn once(exporter: &Exporter, stop: &Stop) -> bool {
    let export = CorrelationId::random().scope(exporter.run(&Part::ALL));
    let Some(report) = stop.bounded(export).await else {
        say("the export was abandoned by a signal; the files of the last one are still there");
        return false;
    };
    for part in &report.parts {
        if let Some(error) = &part.error {
            say(&format!("{}: {error}", part.what.operation()));
        }
    }
    report.is_success()
}

fn say(error: &str) {
    // When standard error is gone, the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {error}");
}

//! The command line. In: arguments and environment. Out: options that fit together. No network.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::schedule::interval;
use crate::trakt::Access;

/// Exports the watch history, the ratings and the watchlist of a Trakt account to files that Letterboxd imports.
///
/// Exactly one of --once, --schedule and serve says when. TRAKT_CLIENT_ID and TRAKT_ACCESS_TOKEN in the environment say whose
/// account it is. Exit code: 0 all is well, 1 an export failed, 2 it could not start.
#[derive(Debug, Parser)]
#[command(name = "export-trakt-4-letterboxd", version, about)]
pub struct Cli {
    /// Export once and end.
    #[arg(long)]
    once: bool,
    /// Export now and then at this interval, as in 6h or 1h 30m.
    #[arg(long, value_name = "INTERVAL", value_parser = interval)]
    schedule: Option<Duration>,
    #[command(subcommand)]
    command: Option<Command>,
    /// File with the [telemetry] tables. Without it nothing is sent, and /metrics is on port 8081.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Address of Trakt's API.
    #[arg(
        long,
        value_name = "URL",
        env = "TRAKT_URL",
        default_value = "https://api.trakt.tv",
        global = true
    )]
    trakt_url: String,
    /// Directory for the files.
    #[arg(long, value_name = "DIR", default_value = "letterboxd", global = true)]
    pub(crate) output: PathBuf,
    /// Directory for what was read last time. Without it everything is read every time.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache: Option<PathBuf>,
    /// How long a request is tried again, and a rate limit is waited for, before the export fails.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = interval, global = true)]
    pub(crate) patience: Duration,
    /// What is logged, as in info,exporter=debug.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info", global = true)]
    pub(crate) log_filter: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export when somebody asks over HTTP: POST /exports[?what=movies], then GET /files/watched.csv.
    Serve {
        /// Address to listen on.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
        listen: SocketAddr,
    },
}

/// When exports run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Once,
    Schedule(Duration),
    Serve(SocketAddr),
}

impl Cli {
    pub(crate) fn mode(&self) -> Result<Mode, clap::Error> {
        match (self.once, self.schedule, &self.command) {
            (true, None, None) => Ok(Mode::Once),
            (false, Some(every), None) => Ok(Mode::Schedule(every)),
            (false, None, Some(Command::Serve { listen })) => Ok(Mode::Serve(*listen)),
            (false, None, None) => Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "nothing says when to export: give --once, --schedule 6h, or serve",
            )),
            _ => Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "--once, --schedule and serve exclude each other: give exactly one",
            )),
        }
    }

    /// The account. Secrets come from the environment only: anybody on the machine can read arguments.
    pub(crate) fn access(&self, lookup: impl Fn(&str) -> Option<OsString>) -> Access {
        let secret =
            |name| lookup(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        Access {
            url: self.trakt_url.clone(),
            client_id: secret("TRAKT_CLIENT_ID"),
            access_token: secret("TRAKT_ACCESS_TOKEN"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(arguments: &str) -> Result<Mode, String> {
        let arguments = arguments.split_whitespace();
        let cli =
            Cli::try_parse_from(std::iter::once("exporter").chain(arguments)).map_err(|e| e.to_string())?;
        cli.mode().map_err(|error| error.to_string())
    }

    #[test]
    fn there_is_exactly_one_mode() {
        Cli::command().debug_assert();
        assert_eq!(mode("--once"), Ok(Mode::Once));
        assert_eq!(mode("--schedule 6h --output o"), Ok(Mode::Schedule(Duration::from_secs(21_600))));
        assert_eq!(mode("--output o serve --cache c"), Ok(Mode::Serve(([127, 0, 0, 1], 8082).into())));
        for (arguments, message) in [
            ("", "nothing says when to export"),
            ("--once --schedule 6h", "exclude each other"),
            ("--once serve", "exclude each other"),
            ("--schedule 6", "6h or 1h 30m"),
            ("--schedule=-6h", "positive"),
        ] {
            let error = mode(arguments).unwrap_err();
            assert!(error.contains(message), "{arguments}: {error}");
        }
    }

    #[test]
    fn help_shows_no_secret_and_offers_no_option_for_one() {
        let help = Cli::command().render_long_help().to_string();
        assert!(!help.contains("token ") && !help.contains("--access"), "{help}");
    }
}

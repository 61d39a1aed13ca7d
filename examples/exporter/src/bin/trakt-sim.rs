//! The simulator's process. In: arguments. Out: a Trakt on a local address, until SIGINT.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use exporter::simulator::{Options, Simulator, Size};

/// A Trakt to play with: an account of any size, and every incident that can be had.
///
/// Its behaviour can be changed while it runs: curl -X PUT -d '{"error_rate": 0.2}' http://127.0.0.1:8090/sim/behaviour
#[derive(Debug, Parser)]
#[command(name = "trakt-sim", version, about)]
struct Cli {
    /// Address to listen on; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Entries of the watch history; some are rewatches.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    films: u64,
    /// Rated films.
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    ratings: u64,
    /// Films on the watchlist.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    watchlist: u64,
    /// The same seed gives the same account and the same incidents.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The access token that is accepted. It protects nothing.
    #[arg(long, default_value = "sim-token")]
    token: String,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When standard error is gone, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> io::Result<()> {
    let Cli { listen, films, ratings, watchlist, seed, token } = cli;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let options = Options { size: Size { films, ratings, watchlist }, seed, token };
        let simulator = Simulator::start(listen, options)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        writeln!(io::stdout(), "listening on {}", simulator.url())?;
        tokio::signal::ctrl_c().await
    })
}

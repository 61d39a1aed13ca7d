//! `check`: waits until an operator answers, as after its installation. In: URLs, addresses, a deadline. Out: a line for each.
//! Talks to the operator, by HTTP and TCP; no account is needed.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::CliError;
use crate::stable::root_cause;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// URL that shall answer 200, for example http://telemetry-operator:8080/readyz; may be repeated.
    #[arg(long, value_name = "URL", value_parser = http_url, required_unless_present = "connect")]
    url: Vec<Url>,
    /// Address that shall accept connections, for example telemetry-operator-webhook:443; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<String>,
    /// Seconds after which it is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// Why the check fails.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The work cannot begin.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// TLS is set up twice.
    #[error("a TLS provider is installed already")]
    Tls,
    /// No HTTP client can be made.
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// It does not answer.
    #[error("waited {seconds} s for {what}; last answer: {last}")]
    Late {
        /// How long.
        seconds: u64,
        /// For what.
        what: String,
        /// What came instead.
        last: String,
    },
}

/// Waits for one after the other; the deadline is that of all together.
pub(super) fn run(args: &CheckArgs, out: &mut impl Write) -> Result<(), CliError> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| CheckError::Tls)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CheckError::Runtime)?;
    // Nothing here speaks https, and the image need not have certificates for it.
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(PATIENCE).tls_certs_only([]);
    let client = client.build().map_err(CheckError::from)?;
    let started = Instant::now();
    for url in &args.url {
        let ask = async || answer(&client, url).await;
        writeln!(out, "{url}: {}", runtime.block_on(wait(args, started, url.as_str(), ask))?)?;
    }
    for address in &args.connect {
        let connect = async || accepts(address).await;
        writeln!(out, "{address}: {}", runtime.block_on(wait(args, started, address, connect))?)?;
    }
    Ok(())
}

async fn wait(
    args: &CheckArgs,
    started: Instant,
    what: &str,
    attempt: impl AsyncFn() -> Result<String, String>,
) -> Result<String, CheckError> {
    loop {
        match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(last) if started.elapsed() >= Duration::from_secs(args.timeout) => {
                return Err(CheckError::Late { seconds: args.timeout, what: what.to_owned(), last });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(client: &Client, url: &Url) -> Result<String, String> {
    let response = client.get(url.clone()).send().await.map_err(|error| root_cause(&error))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| root_cause(&error))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if status == reqwest::StatusCode::OK { Ok(line) } else { Err(format!("HTTP {status}: {line}")) }
}

async fn accepts(address: &str) -> Result<String, String> {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok("accepts connections".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    url.ok_or_else(|| "write it like http://telemetry-operator:8080/readyz".to_owned())
}

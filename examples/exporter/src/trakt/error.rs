//! Everything that Trakt, or the way to it, can answer instead of data. Pure.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Why something could not be read from Trakt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraktError {
    /// The address cannot be one of an API.
    #[error("TRAKT_URL `{url}`: {reason}; it must look like https://api.trakt.tv")]
    Address {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential is missing, or cannot be sent.
    #[error("{variable} {reason}")]
    Credential {
        /// The variable that holds it.
        variable: &'static str,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// 401.
    #[error(
        "{endpoint}: Trakt does not accept the access token (401); get a new one and set TRAKT_ACCESS_TOKEN"
    )]
    Unauthorized {
        /// What was asked for.
        endpoint: &'static str,
    },
    /// 403.
    #[error(
        "{endpoint}: Trakt does not accept the client id (403); set TRAKT_CLIENT_ID to that of an approved application"
    )]
    Forbidden {
        /// What was asked for.
        endpoint: &'static str,
    },
    /// 404.
    #[error("{endpoint}: there is no such thing at {url} (404); is TRAKT_URL right?")]
    NotFound {
        /// What was asked for.
        endpoint: &'static str,
        /// The API's address.
        url: String,
    },
    /// 429.
    #[error(
        "{endpoint}: Trakt's rate limit is used up (429), and it asks to wait {}; try later, or raise --patience",
        .wait.map_or("for a while".to_owned(), |wait| format!("{} s", wait.as_secs()))
    )]
    RateLimited {
        /// What was asked for.
        endpoint: &'static str,
        /// For how long, if Trakt said so.
        wait: Option<Duration>,
    },
    /// 5xx.
    #[error("{endpoint}: Trakt is in trouble ({status}); it may be over later")]
    Server {
        /// What was asked for.
        endpoint: &'static str,
        /// The answer.
        status: u16,
    },
    /// Any other status.
    #[error(
        "{endpoint}: Trakt answered {status}, which an export does not expect; its API documentation says what that means"
    )]
    Status {
        /// What was asked for.
        endpoint: &'static str,
        /// The answer.
        status: u16,
    },
    /// No connection, no answer in time, or an answer that ended too early.
    #[error("{endpoint}: cannot reach {url}: {reason}; are TRAKT_URL and the network right?")]
    Connection {
        /// What was asked for.
        endpoint: &'static str,
        /// The API's address.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// An answer that cannot be read.
    #[error(
        "{endpoint}: the answer of {url} is not what Trakt's API documents: {reason}; is TRAKT_URL right?"
    )]
    Malformed {
        /// What was asked for.
        endpoint: &'static str,
        /// The API's address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that may pass did not pass in time.
    #[error("{last} (tried {attempts} times in {:.1} s)", .after.as_secs_f64())]
    GaveUp {
        /// The last error.
        last: Box<TraktError>,
        /// How often it was tried.
        attempts: u32,
        /// For how long.
        after: Duration,
    },
    /// No two readings were of the same content.
    #[error(
        "{endpoint}: the account changed during each of {readings} readings; try again when less happens there"
    )]
    KeepsChanging {
        /// What was asked for.
        endpoint: &'static str,
        /// How often it was read.
        readings: u32,
    },
}

impl TraktError {
    /// The error that an answer's status means, if any.
    pub(super) fn of_status(
        endpoint: &'static str,
        url: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), Self> {
        Err(match status.as_u16() {
            200..=299 => return Ok(()),
            401 => Self::Unauthorized { endpoint },
            403 => Self::Forbidden { endpoint },
            404 => Self::NotFound { endpoint, url: url.to_owned() },
            429 => Self::RateLimited { endpoint, wait: wait(headers) },
            status @ 500..=599 => Self::Server { endpoint, status },
            status => Self::Status { endpoint, status },
        })
    }

    /// Whether the same request may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Server { .. } | Self::Connection { .. })
    }

    /// How long Trakt asks to wait.
    pub(super) fn wait(&self) -> Duration {
        match self {
            Self::RateLimited { wait, .. } => wait.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// Trakt gives seconds.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its causes: the outermost of an HTTP client alone says little.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

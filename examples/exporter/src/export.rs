//! One run. In: an account and what is wanted of it. Out: Letterboxd's files, and a report. Talks to Trakt; a run is one
//! trace, and every part in it is an operation of its own in traces, metrics and logs.

mod source;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use telemetry::{CorrelationId, Counter, KeyValue, TelemetryManager};

use crate::cache::Cache;
use crate::files::{FileError, OwnedDirectory};
use crate::letterboxd;
use crate::metrics;
use crate::trakt::{Access, Listed, Patience, Trakt, TraktError, Watch};
use source::Source;

/// The operation of a whole run; those of its parts are its children.
const RUN: &str = "export";

/// How an export ended, in metrics.
const OK: &str = "ok";
const ERROR: &str = "error";

/// What can be exported on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The watch history, with ratings: `watched.csv`.
    Movies,
    /// Every rating: `ratings.csv`.
    Ratings,
    /// The watchlist: `watchlist.csv`.
    Watchlist,
}

impl Part {
    /// All of them, in the order in which a run exports them: ratings are part of the films, too.
    pub const ALL: [Self; 3] = [Self::Ratings, Self::Movies, Self::Watchlist];

    /// The name of its operation.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Movies => "export.movies",
            Self::Ratings => "export.ratings",
            Self::Watchlist => "export.watchlist",
        }
    }

    /// The name of its (first) file, without `.csv`.
    pub const fn file_stem(self) -> &'static str {
        match self {
            Self::Movies => "watched",
            Self::Ratings => "ratings",
            Self::Watchlist => "watchlist",
        }
    }

    /// Its label in metrics.
    fn attribute(self) -> KeyValue {
        let name = match self {
            Self::Movies => "movies",
            Self::Ratings => "ratings",
            Self::Watchlist => "watchlist",
        };
        KeyValue::new("type", name)
    }
}

/// What an exporter works with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The account.
    pub access: Access,
    /// How long to wait for Trakt.
    pub patience: Patience,
    /// Where the files go.
    pub output: PathBuf,
    /// Where the cache is kept, if there is one.
    pub cache: Option<PathBuf>,
}

/// Why a part could not be exported, or an exporter could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It could not be read. Shared, because several parts may need the same.
    #[error(transparent)]
    Trakt(#[from] Arc<TraktError>),
    /// It could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It could not be put into CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// The thread that wrote it died.
    #[error("writing was broken off: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// What became of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What ties its traces and log lines together.
    pub correlation_id: Option<String>,
    /// Part by part.
    pub parts: Vec<PartReport>,
}

impl Report {
    /// Whether every part succeeded.
    pub fn is_success(&self) -> bool {
        self.parts.iter().all(|part| part.error.is_none())
    }
}

/// A report with a part in it that failed, for the span of the run.
struct Incomplete(Report);

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.0.parts.iter().filter(|part| part.error.is_some());
        let failed: Vec<_> = failed.map(|part| part.what.operation()).collect();
        write!(f, "failed: {}", failed.join(", "))
    }
}

/// What became of one part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartReport {
    /// Which.
    pub what: Part,
    /// How many rows were written.
    pub films: usize,
    /// The files that were written. None when it failed: the last good ones are still there.
    pub files: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Exports one account into one directory.
#[derive(Debug)]
pub struct Exporter {
    trakt: Trakt,
    cache: Option<Cache>,
    output: Arc<OwnedDirectory>,
    telemetry: TelemetryManager,
    films: Counter,
}

impl Exporter {
    /// Takes the directories and checks the options; asks Trakt nothing yet.
    ///
    /// # Errors
    /// A directory or an option that cannot be used.
    pub fn open(options: &Options, telemetry: &TelemetryManager) -> Result<Self, ExportError> {
        let trakt = Trakt::new(&options.access, options.patience, telemetry).map_err(Arc::new)?;
        let output = Arc::new(OwnedDirectory::open(&options.output)?);
        let cache = options.cache.as_deref().map(OwnedDirectory::open).transpose()?;
        let cache = cache.map(|directory| Cache::new(directory, &options.access));
        let films =
            telemetry.counter(metrics::FILMS_EXPORTED, "{film}", "Films written to Letterboxd import files");
        let exporter = Self { trakt, cache, output, telemetry: telemetry.clone(), films };
        exporter.expose();
        Ok(exporter)
    }

    /// Every series is there before the first run: an increase cannot be told from a series that begins with it.
    fn expose(&self) {
        for part in Part::ALL {
            self.films.add(0, &[part.attribute()]);
            for outcome in [OK, ERROR] {
                self.count(part, outcome, 0);
            }
        }
        if let Some(cache) = &self.cache {
            self.telemetry.instruments().cache_hit_ratio.record(cache.hit_ratio(), &[]);
        }
    }

    fn count(&self, what: Part, outcome: &'static str, exports: u64) {
        let labels = [what.attribute(), KeyValue::new("outcome", outcome)];
        self.telemetry.instruments().exports.add(exports, &labels);
    }

    pub(crate) fn output(&self) -> Arc<OwnedDirectory> {
        Arc::clone(&self.output)
    }

    /// Exports these parts, one after the other; one that fails does not stop the others. Dropping the future abandons the
    /// run: each file is then the old or the new one.
    pub async fn run(&self, parts: &[Part]) -> Report {
        let run = async {
            let source = Source::new(&self.trakt, self.cache.as_ref(), &self.telemetry);
            let mut reports = Vec::with_capacity(parts.len());
            for part in parts {
                reports.push(self.part(*part, &source).await);
            }
            let correlation_id = CorrelationId::current().map(|id| id.to_string());
            let report = Report { correlation_id, parts: reports };
            if report.is_success() { Ok(report) } else { Err(Incomplete(report)) }
        };
        self.telemetry.trace_operation(RUN, run).await.unwrap_or_else(|Incomplete(report)| report)
    }

    async fn part(&self, what: Part, source: &Source<'_>) -> PartReport {
        let start = Instant::now();
        let active = self.telemetry.instruments().active_operation(what.operation());
        let export = async {
            let outcome = self.export(what, source).await;
            self.tell(what, &outcome, start);
            outcome
        };
        let outcome = self.telemetry.trace_operation(what.operation(), export).await;
        drop(active);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok((films, files)) => PartReport { what, films, files, seconds, error: None },
            Err(error) => {
                PartReport { what, films: 0, files: Vec::new(), seconds, error: Some(error.to_string()) }
            }
        }
    }

    /// Inside the span, so that exemplars and log lines carry its trace.
    fn tell(&self, what: Part, outcome: &Result<(usize, Vec<String>), ExportError>, start: Instant) {
        let logger = self.telemetry.logger();
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok((films, files)) => {
                self.count(what, OK, 1);
                self.films.add(*films as u64, &[what.attribute()]);
                logger.info(
                    "export.done",
                    json!({"what": what, "films": films, "files": files, "seconds": seconds}),
                );
            }
            Err(error) => {
                self.count(what, ERROR, 1);
                logger.error(
                    "export.failed",
                    json!({"what": what, "error": error.to_string(), "seconds": seconds}),
                );
            }
        }
    }

    async fn export(&self, what: Part, source: &Source<'_>) -> Result<(usize, Vec<String>), ExportError> {
        let (films, parts) = match what {
            Part::Movies => {
                let ratings = source.ratings().await?;
                let watches = source.read::<Watch>().await?;
                (watches.len(), letterboxd::watched(&watches, &ratings)?)
            }
            Part::Ratings => {
                let ratings = source.ratings().await?;
                (ratings.len(), letterboxd::ratings(&ratings)?)
            }
            Part::Watchlist => {
                let listed = source.read::<Listed>().await?;
                (listed.len(), letterboxd::watchlist(&listed)?)
            }
        };
        let output = Arc::clone(&self.output);
        let written =
            tokio::task::spawn_blocking(move || output.replace_parts(what.file_stem(), &parts)).await?;
        Ok((films, written?))
    }
}

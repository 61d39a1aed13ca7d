//! Films, ratings and the watchlist of a Trakt account, as files that Letterboxd imports.
//!
//! In: a Trakt account over HTTP. Out: CSV files in a directory, and telemetry about how it went, by the `telemetry` crate.
//!
//! | module | what it does |
//! |---|---|
//! | `cli`, `run` | options, and the process from its start to its end |
//! | [`export`] | one run: what is read, what is written, what is reported |
//! | [`trakt`] | the API client: retries, paging, errors |
//! | `cache` | what was read last time, for as long as Trakt says that nothing changed |
//! | [`letterboxd`] | rows and columns |
//! | [`files`] | files that are written whole or not at all |
//! | `schedule`, `serve`, `stop` | when exports run, and when they end |
//! | [`metrics`] | the name of every metric that the exporter exposes |
//! | [`simulator`] | a Trakt to play with |

mod cache;
mod cli;
pub mod export;
pub mod files;
pub mod letterboxd;
pub mod metrics;
mod run;
mod schedule;
mod serve;
pub mod simulator;
mod stop;
pub mod trakt;

pub use cli::Cli;
pub use run::run;

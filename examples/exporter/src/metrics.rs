//! The name of every metric that the exporter exposes. Pure.

/// Exports that came to an end, by `type` and `outcome`.
pub const EXPORTS: &str = "trakt_exports_total";
/// How long each HTTP request to Trakt took, in seconds, by `endpoint`, `method` and `outcome`.
pub const API_DURATION: &str = "trakt_api_duration_seconds";
/// The share of look-ups that the cache answered since the start, 0 to 1.
pub const CACHE_HIT_RATIO: &str = "trakt_cache_hit_ratio";
/// Exports that are running, by `operation`.
pub const ACTIVE_OPERATIONS: &str = "trakt_active_operations";
/// Films written to Letterboxd files, by `type`. An instrument of the exporter's own.
pub const FILMS_EXPORTED: &str = "export_trakt_movies_exported_total";
/// Requests that Trakt put off by its rate limit, by `endpoint`. An instrument of the exporter's own.
pub const RATE_LIMITED: &str = "export_trakt_rate_limited_total";

/// All of them. The first four are those of every program that uses the `telemetry` crate.
pub const EXPOSED: [&str; 6] =
    [EXPORTS, API_DURATION, CACHE_HIT_RATIO, ACTIVE_OPERATIONS, FILMS_EXPORTED, RATE_LIMITED];

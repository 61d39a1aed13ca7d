//! In: what a process knows about itself and its surroundings. Out: the values that every other module reads.
//! No cluster, no network.

/// Everything that [`init`](crate::init) needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// `service.name` of every span. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before it.
    pub service_name: String,
    /// `service.version` of every span. `OTEL_RESOURCE_ATTRIBUTES` goes before it.
    pub service_version: String,
    /// Where spans go: plaintext OTLP over gRPC, as in `http://127.0.0.1:4317`. Without it nothing is
    /// exported; spans have ids all the same, so that log lines of one operation can be told from those of
    /// another.
    pub otlp_endpoint: Option<String>,
    /// Which events are logged, in the syntax of `RUST_LOG`, as in `info,billing=debug`. The crates that
    /// carry the spans away (h2, hyper, tonic, …) log warnings only, unless they are named here. Empty:
    /// errors only.
    pub log_filter: String,
    /// How a log line is written.
    pub log_format: LogFormat,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object on a line, for machines.
    #[default]
    Json,
    /// One line of text, for people.
    Text,
}

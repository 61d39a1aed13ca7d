//! The exporter's own program with the configuration that is documented, and everything that its telemetry goes through: the
//! real collector, Jaeger, a log store, the real Prometheus. What they have is compared with what the simulator was asked.
//!
//! Nothing is changed in `telemetry.toml`: what the surroundings of a program know better comes by `OTEL_*` variables.

mod metrics;
mod off;
mod outage;
mod stack;
mod traces;

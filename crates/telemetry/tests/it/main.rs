//! The library from outside: every test reads what comes out, at a real collector, a real Jaeger, a log store, a scrape, or on
//! the standard error of a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_calls;
mod common;
mod correlation;
mod export;
mod metrics;
mod operations;
mod outage;
mod routes;
mod setup;
mod shutdown;

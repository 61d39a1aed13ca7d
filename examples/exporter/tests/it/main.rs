//! The exporter against the simulator: what is in the files is what is in the account, whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache;
mod common;
mod crashes;
mod errors;
mod exports;
mod incidents;
mod profile;
mod service;
mod simulator;
mod telemetry;

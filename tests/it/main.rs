//! The integration tests, one binary: on a real API server, with the real collector, Jaeger, Prometheus and promtool.

// Tests fail by panicking; clippy allows that in test functions but not in what they share.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod common;

mod alertmanager;
mod canary;
mod conflicts;
mod crashes;
mod documents;
mod drift;
mod edits;
mod examples;
mod generated_files;
mod health;
mod injection;
mod kinds;
mod leader;
mod lifecycle;
mod rest;
mod rights;
mod self_telemetry;
mod sidecars;
mod supply_chain;
mod tenancy;
mod unattended;
mod webhook;

mod chart;
mod cli;
mod collector;
mod dashboards;
mod datasources;
mod import;
mod invalid;
mod jaeger;
mod pipe;
mod prometheus;
mod rules;
mod slo_cli;
mod slo_history;

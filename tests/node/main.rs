//! End-to-end: the operator and real pods on a real node. One binary, so that all tests share one cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chart;
mod common;
mod counts;
mod dashboards;
mod exports;
mod failures;
mod image;
mod kernel;
mod legacy;
mod operator_suite;
mod policies;
mod profiles;
mod programs;
mod restart;
mod sidecar;
mod smoke;

//! What an operation costs, beside the same by hand with the OpenTelemetry API: `cargo bench -p telemetry`.
//!
//! Each figure is for [`OPERATIONS`] operations. Spans go to a port that refuses them, so that no back end takes part; the queue is
//! full most of the time, which makes the hand-written one as fast as it can be.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use opentelemetry::trace::{FutureExt, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use telemetry::{TelemetryConfig, TelemetryManager};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tracing::Instrument;

const OPERATIONS: usize = 1_000;

fn main() {
    divan::main();
}

#[derive(Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

/// The operation: waits once, as anything does that is worth a span.
async fn work() -> Result<u32, Failed> {
    tokio::task::yield_now().await;
    Ok(black_box(7))
}

fn manager(change: impl FnOnce(&mut TelemetryConfig)) -> (TelemetryManager, TcpSocket) {
    // Bound and not listened on: nobody else gets the port, and connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut config = TelemetryConfig {
        service_name: "overhead".into(),
        service_version: "1.0.0".into(),
        environment: "bench".into(),
        jaeger_endpoint: Some(format!("http://{}", socket.local_addr().unwrap())),
        prometheus_enabled: false,
        log_filter: "off".into(),
        ..TelemetryConfig::default()
    };
    change(&mut config);
    (TelemetryManager::new(config).unwrap(), socket)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn run<F: Future>(bencher: Bencher<'_, '_>, mut operation: impl FnMut() -> F) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..OPERATIONS {
                black_box(operation().await);
            }
        });
    });
}

#[divan::bench]
fn a_bare_call(bencher: Bencher<'_, '_>) {
    run(bencher, work);
}

#[divan::bench]
fn b_disabled(bencher: Bencher<'_, '_>) {
    let (manager, _port) = manager(|config| config.enabled = false);
    run(bencher, || manager.trace_operation("operation", work()));
}

#[divan::bench]
fn c_sampled_out(bencher: Bencher<'_, '_>) {
    let (manager, _port) = manager(|config| config.sample_rate = 0.0);
    run(bencher, || manager.trace_operation("operation", work()));
}

#[divan::bench]
fn d_hand_written(bencher: Bencher<'_, '_>) {
    let (manager, _port) = manager(|_| ());
    let tracer = manager.tracer();
    run(bencher, || async {
        let span = tracer
            .span_builder("operation")
            .with_attributes([
                KeyValue::new("service.name", "overhead"),
                KeyValue::new("service.version", "1.0.0"),
                KeyValue::new("environment", "bench"),
            ])
            .start(tracer);
        let context = Context::current_with_span(span);
        let result = work().with_context(context.clone()).await;
        if let Err(error) = &result {
            context.span().record_error(error);
            context.span().set_status(Status::error(error.to_string()));
        }
        context.span().end();
        result
    });
}

#[divan::bench]
fn e_trace_operation(bencher: Bencher<'_, '_>) {
    let (manager, _port) = manager(|_| ());
    run(bencher, || manager.trace_operation("operation", work()));
}

#[divan::bench]
fn f_instrument_api_call(bencher: Bencher<'_, '_>) {
    let (manager, _port) = manager(|_| ());
    run(bencher, || manager.instrument_api_call("users/me", "GET", work()));
}

/// For comparison: a `tracing` span through the layer.
#[divan::bench]
fn g_tracing_span(bencher: Bencher<'_, '_>) {
    use tracing_subscriber::layer::SubscriberExt;
    let (manager, _port) = manager(|_| ());
    let subscriber = tracing_subscriber::registry().with(manager.layer());
    tracing::subscriber::with_default(subscriber, || {
        run(bencher, || work().instrument(tracing::info_span!("operation")));
    });
}

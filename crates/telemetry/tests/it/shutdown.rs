//! The end: in good order, too late, twice, or without a word.

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use telemetry::{TelemetryConfig, TelemetryError, TelemetryManager};
use testbed::wait_until;

use crate::common::*;
use crate::export::{installed, work};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_shutdown_keeps_its_deadline_and_says_that_it_was_too_short() {
    let (_mute, endpoint) = mute_endpoint();
    for deadline in [Duration::ZERO, SHORT] {
        block_on(async {
            let manager = TelemetryManager::new(config("late", &endpoint)).unwrap();
            work(&manager, "export.step").await;
            let started = Instant::now();
            let result = manager.shutdown(deadline).await;
            let took = started.elapsed();
            assert!(
                matches!(result, Err(TelemetryError::ShutdownTimeout(given)) if given == deadline),
                "{result:?}"
            );
            // Far less than the time-out of a request, which is five seconds.
            assert!(took >= deadline && took < deadline + Duration::from_secs(3), "{deadline:?}: {took:?}");
        });
    }
}

#[test]
fn whoever_comes_second_waits_for_the_first() {
    let (_mute, endpoint) = mute_endpoint();
    block_on(async {
        let manager = TelemetryManager::new(config("twice", &endpoint)).unwrap();
        work(&manager, "export.step").await;
        let started = Instant::now();
        let second = async { (manager.shutdown(PLENTY).await, started.elapsed()) };
        let (first, (second, took)) = tokio::join!(manager.shutdown(SHORT), second);
        assert!(matches!(first, Err(TelemetryError::ShutdownTimeout(_))), "{first:?}");
        assert!(second.is_ok() && took >= SHORT, "{second:?} after {took:?}");
        assert!(manager.shutdown(Duration::ZERO).await.is_ok());
    });
}

/// One that is given up by its caller goes on in the background.
#[test]
fn a_shutdown_that_nobody_waits_for_any_more_still_delivers() {
    let manager = TelemetryManager::new(config("given-up", &shared().collector.grpc_endpoint())).unwrap();
    block_on(async {
        work(&manager, "export.step").await;
        let given_up = tokio::time::timeout(Duration::ZERO, manager.shutdown(Duration::MAX)).await;
        assert!(given_up.is_err(), "{given_up:?}");
        manager.shutdown(PLENTY).await.unwrap();
    });
    assert_eq!(exported(&manager, "delivered"), [1, 1]);
    assert_eq!(shared().spans("given-up", 1).len(), 1);
}

#[test]
fn afterwards_the_port_is_closed_and_everything_can_still_be_called() {
    let open = TelemetryConfig {
        prometheus_enabled: true,
        prometheus_port: 0,
        ..config("over", &shared().collector.grpc_endpoint())
    };
    let manager = TelemetryManager::new(open).unwrap();
    let port = manager.metrics_address().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    block_on(async {
        manager.shutdown(PLENTY).await.unwrap();
        work(&manager, "export.step").await;
        let call = manager.instrument_api_call("users/me", "GET", async { Ok::<_, String>(7) });
        assert_eq!(call.await, Ok(7));
    });
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "the port is still open");
    assert_eq!((exported(&manager, "delivered"), exported(&manager, "failed")), ([0, 0], [0, 0]));
    assert!(manager.render_metrics(None).body.contains("trakt_api_duration_seconds_count"));
}

#[test]
fn what_the_end_cuts_off_is_counted_and_is_no_outage() {
    const NAME: &str = "shutdown::what_the_end_cuts_off_is_counted_and_is_no_outage";
    if is_own_process(NAME) {
        let (mute, endpoint) = mute_endpoint();
        return block_on(async {
            let manager = installed("cut-off", &endpoint);
            work(&manager, "on its way").await;
            let connections = [mute.accept().unwrap(), mute.accept().unwrap()];
            let result = manager.shutdown(SHORT).await;
            assert!(matches!(result, Err(TelemetryError::ShutdownTimeout(_))), "{result:?}");
            let lost = || Ok((exported(&manager, "failed") == [1, 1]).then_some(()));
            wait_until("the loss of what was on its way", PLENTY, lost).unwrap();
            drop(connections);
        });
    }
    let quick = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BLRP_SCHEDULE_DELAY", "50")];
    let http = ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf");
    let told = run_in_own_process(NAME, &[&quick[..], &[http]].concat()).about_export();
    assert_eq!(told, []);
}

#[test]
fn dropped_without_a_shutdown_it_holds_up_nobody() {
    const NAME: &str = "shutdown::dropped_without_a_shutdown_it_holds_up_nobody";
    if is_own_process(NAME) {
        let (_mute, endpoint) = mute_endpoint();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let started = Instant::now();
        runtime.block_on(async {
            let manager = installed("dropped", &endpoint);
            tracing::info_span!("reconcile").in_scope(|| tracing::info!("working"));
            drop(manager);
            tracing::info!("still logging");
        });
        drop(runtime);
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
        return;
    }
    let lines = run_in_own_process(NAME, &[]).json_lines();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["working", "still logging"]);
}

/// A manager that goes without a word, and after the runtime of its program, loses nothing that could still be delivered.
#[test]
fn a_dropped_manager_still_delivers() {
    let manager = TelemetryManager::new(config("last-words", &shared().collector.grpc_endpoint())).unwrap();
    block_on(work(&manager, "export.step"));
    drop(manager);
    assert_eq!(shared().spans("last-words", 1).len(), 1);
    assert_eq!(shared().log_records("last-words", 1).len(), 1);
}

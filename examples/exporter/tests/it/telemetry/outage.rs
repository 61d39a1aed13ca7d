//! The collector goes away while the exporter works, and comes back.

use std::time::Instant;

use testbed::wait_until;

use super::stack::*;
use crate::common::*;

const CALLER: &str = "00f067aa0ba902b7";

/// A trace of the caller's for each export, so that it is known before.
fn trace(number: u32) -> String {
    format!("{:032x}", (0x5eed_0000_u128 << 64) + u128::from(number) + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_go_on_without_a_collector_and_spans_come_again_when_it_is_back() {
    let simulator = simulator(size(450, 120, 30), 3).await;
    let mut collector = backends().collector();
    let (variables, _) = environment(&collector.grpc_endpoint());
    let mut service = Service::start(&simulator.url(), &["--config", CONFIG], &variables);
    let mut traces = (0..).map(trace);
    let mut next = || traces.next().expect("a number");

    let before = next();
    assert!(service.export(Some((&before, CALLER))).await.is_success());
    let spans = backends().spans(&before, asked(&simulator).len() + 4);
    assert_eq!(named(&spans, "export").parent.as_deref(), Some(CALLER), "not a part of what the caller does");

    collector.take_away().expect("an end");
    let log = service.process.log().to_owned();
    let deadline = Instant::now() + PLENTY;
    while !["take spans", "take log records"].iter().all(|what| read(&log).contains(what)) {
        assert!(Instant::now() < deadline, "the outage went unnoticed:\n{}", read(&log));
        simulator.remove_film();
        assert!(service.export(Some((&next(), CALLER))).await.is_success());
        assert_exported(&service.output(), &simulator);
    }

    collector.bring_back().expect("a collector");
    let deadline = Instant::now() + PLENTY;
    let after = loop {
        let trace = next();
        assert!(Instant::now() < deadline, "waited for spans after the outage:\n{}", read(&log));
        assert!(service.export(Some((&trace, CALLER))).await.is_success());
        if !backends().arrived(&trace).is_empty() {
            break trace;
        }
    };
    // The process is still the same one, and says once for each signal that it is lost and that it is not any more.
    assert_eq!(service.process.exited().expect("a state"), None);
    wait_until("log records after the outage", PLENTY, || {
        Ok((about_export(&read(&log)).len() >= 4).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}:\n{}", read(&log)));
    assert_eq!(service.process.terminate().expect("an end").code(), Some(0));
    assert!(backends().arrived(&after).iter().any(|span| span.name == "export"));
    let said = about_export(&read(&log));
    let mut levels: Vec<_> = said.iter().map(|line| text(&line["level"])).collect();
    levels.sort();
    assert_eq!(levels, ["INFO", "INFO", "WARN", "WARN"], "{said:#?}");
}

fn about_export(log: &str) -> Vec<serde_json::Value> {
    json_lines(log).into_iter().filter(|line| text(&line["target"]).starts_with("telemetry")).collect()
}

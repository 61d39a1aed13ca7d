//! `telemetry-operator check`, which the pod of `helm test` runs: it waits for what answers, and fails for what does not.

use std::process::{Command, Output};
use std::time::Instant;

use super::{find, render, text};
use crate::common::*;

fn check(arguments: &[&str]) -> Output {
    let mut check = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    check.arg("check").args(arguments).output().expect("check runs")
}

#[test]
fn what_does_not_answer_is_waited_for_and_told() {
    let [closed] = testbed::free_ports().expect("a port");
    let address = format!("127.0.0.1:{closed}");
    for (flag, what) in [("--url", format!("http://{address}/readyz")), ("--connect", address)] {
        let started = Instant::now();
        let answer = check(&["--timeout=1", flag, &what]);
        let error = String::from_utf8_lossy(&answer.stderr);
        assert!(started.elapsed().as_secs() >= 1, "{what}");
        assert_eq!(answer.status.code(), Some(2), "{error}");
        let wanted = format!("waited 1 s for {what}; last answer: ");
        assert!(error.contains(&wanted) && error.contains("refused"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_not_ready_fails_and_one_that_is_passes() {
    let cluster = shared();
    let namespace = cluster.namespace("check").await;
    let operator = cluster.operator(&[&namespace], &[]);
    let ready = format!("{}/readyz", operator.url);
    let address = operator.url.trim_start_matches("http://");
    let answer = check(&["--url", &ready, "--connect", address]);
    let lines = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.status.success());
    assert_eq!(lines, format!("{ready}: ok\n{address}: accepts connections\n"));
    // A page that answers, but not with 200.
    let absent = format!("{}/absent", operator.url);
    let answer = check(&["--timeout=1", "--url", &absent]);
    let error = String::from_utf8_lossy(&answer.stderr);
    assert!(!answer.status.success() && error.contains("HTTP 404"), "{error}");
}

#[test]
fn the_pod_of_helm_test_asks_for_what_the_chart_installs() {
    let objects = render("webhook", &[]);
    let pod = find(&objects, "Pod/telemetry-operator-test");
    let arguments: Vec<_> =
        pod["spec"]["containers"][0]["args"].as_array().expect("arguments").iter().map(text).collect();
    assert_eq!(
        arguments,
        [
            "check",
            "--url=http://telemetry-operator.telemetry-system:8080/readyz",
            "--connect=telemetry-operator-webhook.telemetry-system:443",
        ]
    );
    for (service, port) in [("telemetry-operator", 8080), ("telemetry-operator-webhook", 443)] {
        let service = find(&objects, &format!("Service/{service}"));
        assert_eq!(service["metadata"]["namespace"], "telemetry-system");
        assert_eq!(service["spec"]["ports"][0]["port"], port);
        // The pod of the test is no end of its Services.
        let name = &service["spec"]["selector"]["app.kubernetes.io/name"];
        assert_ne!(name, &pod["metadata"]["labels"]["app.kubernetes.io/name"]);
    }
}

//! The first application with its own profile, as the examples have it.

use serde_json::json;
use testbed::{prometheus, spans_of_service, wait_until};

use crate::common::{DEADLINE, STACK};

#[test]
fn the_first_application_is_observed() {
    let namespace = "letterboxd";
    STACK.namespace(namespace).unwrap();
    STACK.apply_file(Some(namespace), "examples/export-trakt-4-letterboxd.yaml").unwrap();
    STACK
        .patch(
            namespace,
            "tp/export-trakt-4-letterboxd",
            &json!({"spec": {"metrics": {"prometheus": "Managed"}, "traces": {"sampling": {"ratio": "1"}}}}),
        )
        .unwrap();
    STACK.apply_file(Some(namespace), "examples/exporter/kubernetes.yaml").unwrap();
    STACK.wait_until_ready(namespace, "export-trakt-4-letterboxd").unwrap();
    let jaeger = STACK.jaeger(namespace, "export-trakt-4-letterboxd").unwrap();
    wait_until("a trace", DEADLINE, || {
        let spans = spans_of_service(&jaeger.url(), "export-trakt-4-letterboxd", 100)?;
        Ok((!spans.is_empty()).then_some(()))
    })
    .unwrap();
    let prometheus = STACK.prometheus(namespace, "export-trakt-4-letterboxd").unwrap();
    wait_until("targets that are up", DEADLINE, || {
        let up = prometheus::query(&prometheus.url(), "up == 1")?;
        // The application, and a collector with what it makes of spans and with what it tells of itself.
        anyhow::ensure!(up.len() == 3, "{up:?}");
        Ok(Some(()))
    })
    .unwrap();
}

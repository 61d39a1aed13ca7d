//! An application with an old Jaeger client: Thrift over HTTP, to a profile that takes nothing else.

use serde_json::json;
use testbed::{THRIFT, THRIFT_TRACE, http_with, spans_of_trace, thrift_span};

use crate::common::{STACK, Site};

const PROFILE: &str = "legacy";

#[test]
fn an_old_jaeger_client_is_understood() {
    let site = Site::new(&STACK, "legacy");
    site.profile(
        PROFILE,
        json!({
            "selector": {"matchLabels": {"app.kubernetes.io/name": "legacy"}},
            "service": {"name": "billing", "version": "0.9", "environment": "test"},
            "traces": {"protocols": ["JaegerThriftHTTP"]},
            "metrics": {"enabled": false},
        }),
    );
    site.ready(PROFILE);
    let ports = site.get("service/legacy-collector")["spec"]["ports"].clone();
    let ports: Vec<_> = ports.as_array().unwrap().iter().map(|port| &port["port"]).collect();
    assert_eq!(ports, [14268], "the Service offers what the profile asks for");

    let collector = site.forward("legacy-collector", 14268);
    let url = format!("{}/api/traces", collector.url());
    let (status, answer) = http_with("POST", &url, THRIFT, &thrift_span("old client").unwrap()).unwrap();
    assert_eq!(status, 202, "{answer}");

    let jaeger = site.jaeger(PROFILE);
    let spans = site.wait("the old client's span in Jaeger", || {
        let spans = spans_of_trace(&jaeger.url(), THRIFT_TRACE)?;
        Ok((!spans.is_empty()).then_some(spans))
    });
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!((spans[0].name.as_str(), &spans[0].parent), ("old client", &None));
    // The profile says whose span it is, whatever the client calls itself.
    assert_eq!(spans[0].service, "billing", "{spans:#?}");
    assert_eq!(spans[0].resource["service.version"], "0.9");
    assert_eq!(spans[0].resource["deployment.environment.name"], "test");
}

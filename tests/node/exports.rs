//! The exporter's exports as Jaeger has them, a Jaeger that keeps them, and spans that come from no exporter. In: Jaeger's
//! address. Out: traces.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Forward, http, spans_of_service};

use crate::common::{EXPORTER, Site};

/// The name of spans that do not come from the exporter.
pub const ONCE: &str = "sent once";

/// Sends a span over a new connection to an OTLP receiver. An error: it may not have been taken.
pub fn send_once(otlp: &Forward, number: usize) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string();
    let span = json!({"traceId": format!("{:032x}", 1), "spanId": format!("{number:016x}"), "name": ONCE,
        "startTimeUnixNano": now, "endTimeUnixNano": now});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let (status, answer) = http("POST", &format!("{}/v1/traces", otlp.url()), &body.to_string())?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(())
}

/// What a profile says for traces that outlive Jaeger's pod.
pub fn kept_on_disk() -> Value {
    json!({
        "traces": {"jaeger": {"storage": "Badger", "size": "1Gi"}},
        "jaeger": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}},
    })
}

/// The exports that Jaeger has, by trace.
pub fn exports_in(jaeger: &Forward) -> Result<BTreeSet<String>> {
    let spans = spans_of_service(&jaeger.url(), EXPORTER, 100)?;
    Ok(spans.into_iter().filter(|span| span.name == "export").map(|span| span.trace).collect())
}

/// Waits until Jaeger has exactly so many.
pub fn await_exports(site: &Site<'_>, jaeger: &Forward, wanted: usize) {
    site.wait(&format!("{wanted} exports in Jaeger"), || {
        let found = exports_in(jaeger)?.len();
        anyhow::ensure!(found == wanted, "{found}");
        Ok(Some(()))
    });
}

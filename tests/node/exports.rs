//! The exporter's exports as Jaeger has them, and a Jaeger that keeps them. In: Jaeger's address. Out: traces.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{Forward, spans_of_service};

use crate::common::{EXPORTER, Site};

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

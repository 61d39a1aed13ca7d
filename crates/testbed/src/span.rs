//! Spans as Jaeger's query API gives them back. In: its JSON. Out: spans with their tags as text. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// A span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The service that it is of.
    pub service: String,
    /// Its operation.
    pub name: String,
    /// The id of its trace, in hex.
    pub trace: String,
    /// Its own id, in hex.
    pub id: String,
    /// The id of its parent; `None` for a root.
    pub parent: Option<String>,
    /// When it began, since the Unix epoch.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// Its attributes, and what Jaeger makes of kind and status (`span.kind`, `otel.status_code`, …).
    pub tags: BTreeMap<String, String>,
    /// The fields of each of its events, the event's name under `event`.
    pub events: Vec<BTreeMap<String, String>>,
    /// The attributes of its resource, without `service.name`.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// One attribute; empty when there is none.
    pub fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }
}

/// The spans of an answer of `/api/traces` or `/api/traces/ID`.
pub(crate) fn of_answer(answer: &Value) -> Vec<Span> {
    list(&answer["data"]).flat_map(of_trace).collect()
}

fn of_trace(trace: &Value) -> Vec<Span> {
    let process = |span: &Value| &trace["processes"][text(&span["processID"])];
    let span = |span: &Value| Span {
        service: text(&process(span)["serviceName"]),
        name: text(&span["operationName"]),
        trace: text(&span["traceID"]),
        id: text(&span["spanID"]),
        parent: list(&span["references"]).next().map(|parent| text(&parent["spanID"])),
        start: microseconds(&span["startTime"]),
        duration: microseconds(&span["duration"]),
        tags: tags(&span["tags"]),
        events: list(&span["logs"]).map(|event| tags(&event["fields"])).collect(),
        resource: tags(&process(span)["tags"]),
    };
    list(&trace["spans"]).map(span).collect()
}

fn tags(value: &Value) -> BTreeMap<String, String> {
    list(value).map(|tag| (text(&tag["key"]), text(&tag["value"]))).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn microseconds(value: &Value) -> Duration {
    Duration::from_micros(value.as_u64().unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
